"""Values to text and JSON. Nothing here decides anything, prints, or knows of a command line."""

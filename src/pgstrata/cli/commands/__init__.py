"""One module for each command; the module of a command is named after it."""

"""What may be written in an environment file: one table of keys, and all that is derived from it."""

"""What may be written in an environment file: one table of keys, and what comes of it."""

"""What can be found without connecting: one file for each topic."""

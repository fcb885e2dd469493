"""Measurements of what must be fast; each module is run by itself."""

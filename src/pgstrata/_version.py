"""The version, in one place that the build and the command line both read."""

__version__ = "0.1.0"

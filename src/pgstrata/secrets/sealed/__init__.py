"""Sealed files: secrets of one environment, encrypted and signed, committed with the project."""

from pgstrata.secrets.sealed.opened import entries, open_entry

__all__ = ["entries", "open_entry"]

"""Layered environments from what a project has: files of pgmonkey, libpq, Django and others."""

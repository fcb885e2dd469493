"""The embedded PostgreSQL of a project: one server per project, started on first use."""

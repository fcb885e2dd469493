"""Whether servers agree with what their clients' configuration wants; read-only."""

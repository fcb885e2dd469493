"""What a server makes of its clients' configuration, strictly read-only."""

"""What a server's pg_hba.conf makes of an attempt to connect: a simulator without any I/O."""

"""What the pools of a manager do, for monitoring systems; and who is connected to a server."""

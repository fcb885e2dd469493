"""What fits the client: settings, pg_hba lines and role settings that its configuration asks of the
server, each with its reason. Nothing is connected to.
"""

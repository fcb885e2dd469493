"""What a server says before anybody has logged in: no password is ever sent.

::

    probe(parameters, transport)     what the server asks of this user, or why it refuses
    handshake(parameters)            TLS with the client's own files: versions, trust, names, expiry
    certificates(path)               what a PEM file holds
"""

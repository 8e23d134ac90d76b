"""Play from anywhere: one server on one port, a browser page, the window, and the environment over the network.

    protocol.py     messages as bytes: a JSON header and a binary body, checked and bounded
    client_messages.py, server_messages.py  every message, as a dataclass; message.py has their base
    PROTOCOL.md     the same for authors of clients

Importing this package imports none of its modules.
"""

"""The broker. A site's agent: offers, reservations, execution sessions.

So far it has its schema, its endpoints and its health; what it is for is built on the kernel next.
"""

__version__ = "0.1.0"

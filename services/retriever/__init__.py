"""The retriever. From long-term storage back to users and tasks.

So far it has its schema, its endpoints and its health; what it is for is built on the kernel next.
"""

__version__ = "0.1.0"

"""One connection of a client: what it may make the edge read, keep and wait for before a request begins (ADR 20)."""

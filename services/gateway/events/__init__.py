"""`/events` and the watch of a session: what happens, as server-sent events and over NATS."""

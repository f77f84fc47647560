"""The bus: NATS with JetStream, as Headrace uses it. Transport only.

What nats-py does well (the connection) is used as it is. What it does slowly or not at all is here: publishes
whose acks we own and that survive a reconnect (`publish`), a continuous pull (`pull`), requests with many replies (`many`),
streams from data (`topology`). What services are built from stands on it, in `shared/service`.
"""

"""The bus: NATS with JetStream, as Headrace uses it.

What nats-py does well (connection, micro services) is used as it is. What it does slowly or not at all is here: publishes
whose acks we own and that survive a reconnect (`publish`), a continuous pull (`pull`), streams from data (`topology`),
typed request-reply and durable commands with one set of handlers (`service`), and the outbox.
"""

"""What a service is built from: its endpoints and who asks, units of work, outbox and inbox, middleware.

It stands on `shared/bus` (transport) and `shared/db`. Neither knows of it.
"""

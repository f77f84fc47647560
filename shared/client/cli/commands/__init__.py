"""The commands, one module a matter; each has `register(app)`."""

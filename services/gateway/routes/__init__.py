"""The routes, one module a domain; each has a list `ROUTES`."""

"""The catalogue's rows: one module a table, each with its SQL beside it, and with what makes contracts of the rows."""

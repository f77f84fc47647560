"""Tasks: looked at, explained, run again; what they print."""

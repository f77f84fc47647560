"""Sessions: opened, looked at, and led from one state to another."""

"""Faults in the middle of the work: whatever dies, every task ends exactly once."""

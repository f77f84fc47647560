"""Submissions: lines of tasks become rows, chunk by chunk."""

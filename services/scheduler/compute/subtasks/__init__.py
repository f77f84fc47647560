"""Subtasks: tasks and results that a running task creates."""

"""Claimed jobs (workflows, sensors, claims, operations, executions, data resources): their room, still empty.

What is to come here asks the other rooms for what it needs by roles in `services/scheduler/ports.py`, as they do; an import rule
(pyproject.toml) keeps it.
"""

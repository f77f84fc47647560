"""Sessions, submissions, results and tasks: what users ask for, and what becomes of it.

A package a noun, each with its handlers, its decisions and its SQL beside them:

    sessions      opened, paused, resumed, closed, cancelled
    submissions   lines of tasks become rows, chunk by chunk
    subtasks      what a running task submits
    results       values: created, completed, imported, deleted, waited for
    tasks         looked at, explained, run again; what they print
    completion    reports of workers end tasks and release those that waited for them
    removal       sessions purged and deleted
    lists         filtered, sorted pages of all of these

Nothing here imports `dispatch`, and nothing there this: what each asks of the other is in `services/scheduler/ports.py`.
"""

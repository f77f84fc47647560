"""Partitions, and which of their ready tasks go to the queue now.

partition, pace, placement   what is known of a partition: its workers, its window, its functions
turns, share                 whose turn it is
queue                        chosen tasks are published
leases, recovery             what workers hold, and what becomes of it when they or the bus fail
preemption                   running attempts make room for those with a right to it
    explain                      why a ready task waits

Nothing here imports `compute`, and nothing there this: what each asks of the other is in `services/scheduler/ports.py`.
"""

"""Partitions, and which of their ready tasks go to the queue now.

    partition, registry, pace, functions    what is known of partitions: workers, window, functions
    credit                                  how many more tasks each may have outstanding
    ready, share, dispatcher, placement     whose tasks are chosen next, and where they can go
    bundles, queue                          chosen tasks are published
    due, gossip                             which partitions to look at; what schedulers publish for each other
    workers, heartbeats, leases             what workers hold, and what becomes of it when they fall silent
    locks, recovery, recount, requeue       who dispatches a partition; queues that are rebuilt
    victims, preemption                     running attempts make room for those with a right to it
    control                                 a session's queue, and words to its workers
    handlers, partitions, explain           what operators and users ask
    parts, port                             all of it put together; what compute asks

Nothing here imports `compute`, and nothing there this: what each asks of the other is in `services/scheduler/ports.py`.
"""

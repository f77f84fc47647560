"""The embedded stack: NATS, PostgreSQL and S3 from their wheels, the services and the workers, as child processes.

Everything lies under one folder, the home (`.headrace/`), listens on loopback only, and ends with the supervisor, however
that ends: it stops its children itself in order; if it cannot any more, the janitor does (see janitor.py).

home.py      the folder: lock, secrets, what belongs to whom
ports.py     free ports, the same in every run while they stay free
process.py   one child process: log file, own process group, restart with backoff
janitor.py   stops what is left when the supervisor is gone
nats.py postgres.py s3.py    how each server is prepared, started, asked whether it is ready
disk_space.py  a full disk: reported, and the servers repaired when there is space again
stack.py     the three servers, and the environment that the services get; what the tests use too
system.py    the services and the workers on top
run.py       all of it in one process to start and to stop; with a job on it: deploy/demo
"""

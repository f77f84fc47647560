"""The four workloads of `make bench` on other systems, each in a virtual environment of its own, on the same machine.

`<name>_peer.py` runs inside the peer's environment and names what it needs; `<name>.lock` pins all of that with hashes.
"""

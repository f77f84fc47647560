"""The retriever. From long-term storage back, to users and to tasks.

A retrieval brings a dataset's datablocks to retrieval storage, validates them there, and hands out what was asked for: addresses
to download from, or the values of a session's results. The tasks that need those wait in the scheduler, like for any result.
"""

__version__ = "0.1.0"

"""The retriever. From long-term storage back, to users and to tasks.

A retrieval brings a dataset's datablocks to retrieval storage, validates them there, and hands out what was asked for: addresses
to download from, or the values of a session's results. The tasks that need those wait in the scheduler, like for any result.
All of it is in `retrieval/`: `handlers` for what is asked, `chain` for what follows, `eviction` for what nobody needs any more.
"""

__version__ = "0.1.0"

"""The archiver. Datasets in: registered, uploaded, packed into datablocks, stored on long-term storage, validated there.

`handlers/` is what users and the retriever ask, `chains.py` what happens afterwards, step by step. Bytes go
landing zone → staging → long-term storage; `pack.py` makes tars of files in one pass, `layout.py` says where all of it lies.
"""

__version__ = "0.1.0"

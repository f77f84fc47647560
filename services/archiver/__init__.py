"""The archiver. Datasets in: registered, uploaded, packed into datablocks, stored on long-term storage, validated there.

`catalogue/` has the rows of datasets, files, datablocks and jobs, and answers what is asked about them. `archive/` changes what is
stored: uploads, jobs, and the chains that follow, step by step (`archive/chains.py`). It imports the catalogue, never the other way round.
Bytes go landing zone → staging → long-term storage; `archive/packing.py` makes tars of files in one pass, `catalogue/layout.py` has
the keys of all objects.
"""

__version__ = "0.1.0"

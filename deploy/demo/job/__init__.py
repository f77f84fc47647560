"""The main job of `make run`: real data through all five services, over the HTTP edge as any user's program would.

files.py     the FITS files that the astropy wheel ships
archive.py   registered, uploaded, packed, stored on long-term storage, validated there
place.py     offers from the sites, and the best one accepted
compute.py   a session there: one task a file, each waiting until its file has come back from long-term storage; one joins
job.py       all of it, with bars and a summary
"""

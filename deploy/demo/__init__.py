"""What `make run` shows: the main job, which catalogues the FITS files of the installed astropy, and what its tasks compute.

job/          the steps of the main job, from the upload to the products
astronomy/    what its tasks compute
functions.py  the functions that the workers of `make run` know
"""

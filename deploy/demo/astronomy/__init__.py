"""What the main job of `make run` computes: a catalogue of FITS files, and a contact sheet of their images.

One task measures one file (`measure`), and one joins what they found (`catalogue`, `sheet`); records pass between them as
JSON, so the join needs none of the files. Everything here is a function of its arguments: the same bytes in, the same
bytes out, on every machine that has the same versions.

    records      what passes from the one to the other
    reading      a file's HDUs, from bytes and a name
    measure      bytes → record
    statistics   pixels → minimum, maximum, mean, median, standard deviation
    sources      pixels → groups of bright ones
    thumbnail    pixels → at most 128×128 grey ones
    catalogue    records → ECSV
    sheet        records → PNG

It needs the extra `demo`; `functions.py` therefore imports it only when a task asks for it.
"""

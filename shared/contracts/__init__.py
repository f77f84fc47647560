"""What passes between Headrace's services, and nothing else.

One module of Structs per conversation; two files of data, `subjects` and `topology`, for where it passes. Everything here
is pure: no I/O, no clock, no other package than msgspec. Changing a Struct that is on the wire raises `VERSION` in its
module, and the golden files under tests/ prove that what was written before still decodes.
"""

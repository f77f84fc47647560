"""Bytes that do not ride the bus: objects in an S3 store, streamed in and out, hashed on the way.

- `port`     what the rest of Headrace knows of object storage: `Objects` and `Stored`
- `s3`       the adapter for any S3 (`open_objects`); `multipart` is how large objects get there
- `layout`   which keys there are, and which keys and names are refused
- `hashing`  SHA-256 and CRC32 that do not hold up the event loop
- `inline`   values small enough to travel in messages instead

Three rules. A key is written once, by one writer (`if_absent`), so that nobody's bytes are overwritten and a repeat after a
lost answer can be distinguished from a clash. An object is whole or not there: an upload that fails, in the source or on the way,
is aborted. What was put was hashed while it passed, and each request carries its own checksum, which the store verifies;
that is why the client's second checksum and the signing of payloads are off: they are most of its CPU time and add nothing.
"""

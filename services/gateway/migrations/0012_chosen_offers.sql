-- The offer of a set that was accepted, or is about to be: a set has one. NULL: none, or that one came to nothing.
ALTER TABLE offersets ADD COLUMN chosen uuid;

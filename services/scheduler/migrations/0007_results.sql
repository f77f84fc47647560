-- What is known of a result's value, and whose its object is.

ALTER TABLE results ADD COLUMN checksum bytea;               -- SHA-256, where whoever stored the value said it
ALTER TABLE results ADD COLUMN owned boolean NOT NULL DEFAULT true; -- false: the object was imported, and is not ours to remove

-- Objects that no result points to any more: written in the transaction that let go of them, removed after it.
CREATE TABLE doomed (
    key text PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT now()
);

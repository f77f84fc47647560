-- What was found damaged on long-term storage (docs/adr/0026-damage.md).

ALTER TABLE datasets ADD COLUMN damaged integer NOT NULL DEFAULT 0;  -- datablocks that are damaged

ALTER TABLE datablocks
    ADD COLUMN copy integer NOT NULL DEFAULT 1,     -- how often it was written to long-term storage for good
    ADD COLUMN damage text NOT NULL DEFAULT '',     -- missing, size or checksum; stays until a new copy is validated
    ADD COLUMN found_at timestamptz,
    ADD COLUMN found_size bigint,
    ADD COLUMN found_chk text NOT NULL DEFAULT '';

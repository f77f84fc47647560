-- What a retrieval found damaged on long-term storage (docs/adr/0026-damage.md).

ALTER TABLE blocks
    ADD COLUMN copy integer NOT NULL DEFAULT 1,            -- the copy that the catalogue knew, and that is read
    ADD COLUMN suspect boolean NOT NULL DEFAULT false,     -- the catalogue says that it is damaged
    ADD COLUMN damage text NOT NULL DEFAULT '';            -- missing, size or checksum: it does not come back

-- Retrievals, their datablocks, and the results that they are to produce.

-- How far a retrieval is, its chain says, which has the same id.
CREATE TABLE retrievals (
    id uuid PRIMARY KEY,
    pid text NOT NULL,                              -- of the dataset
    owner text NOT NULL,                            -- the user
    job uuid,                                       -- the catalogue's job that it does, if there is one
    session uuid,                                   -- whose results it produces, if there is one
    requested integer NOT NULL DEFAULT 0,           -- how many results it produces
    created_at timestamptz NOT NULL DEFAULT now(),
    addresses_until timestamptz,                    -- until when somebody may download without asking again
    evicted_at timestamptz,                         -- when datablocks of it were removed from retrieval storage
    retrieved_at timestamptz                        -- when the last datablock was brought back: it stays for a while from then on
);

-- What the catalogue knew of the datablocks when the retrieval began.
CREATE TABLE datablocks (
    retrieval uuid NOT NULL REFERENCES retrievals ON DELETE CASCADE,
    datablock uuid NOT NULL,
    archive_id text NOT NULL,                       -- its key, on long-term and on retrieval storage
    packed_size bigint NOT NULL,                    -- bytes of the tar
    chk text NOT NULL,                              -- SHA-256 of the tar
    retrieved boolean NOT NULL DEFAULT false,       -- it is in retrieval storage, and right
    copy integer NOT NULL DEFAULT 1,                -- the copy that the catalogue knew, and that is read
    suspect boolean NOT NULL DEFAULT false,         -- the catalogue says that it is damaged
    damage text NOT NULL DEFAULT '',                -- missing, size or checksum: it does not come back (docs/adr/0026-damage.md)
    storage text,                                   -- which long-term storage it is on; NULL: the catalogue did not say
    PRIMARY KEY (retrieval, datablock)
);
-- Addresses are handed out page by page, in the order of the datablocks' keys.
CREATE INDEX datablocks_in_order ON datablocks (retrieval, archive_id);
-- Retrieval storage is swept by age: whose is what was found there?
CREATE INDEX datablocks_of_archive_id ON datablocks (archive_id);

-- Results that files are to become.
CREATE TABLE requested_files (
    retrieval uuid NOT NULL REFERENCES retrievals ON DELETE CASCADE,
    path text COLLATE "C" NOT NULL,                 -- of the file in the dataset
    result uuid NOT NULL,
    datablock uuid,                                 -- where the file lies, once that is known
    start bigint,                                   -- and its first byte there
    size bigint,                                    -- bytes
    chk text,                                       -- SHA-256
    produced boolean NOT NULL DEFAULT false,
    PRIMARY KEY (retrieval, result)
);

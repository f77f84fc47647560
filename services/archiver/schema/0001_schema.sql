-- Datasets, their files as registered, the datablocks that hold them, and jobs. States are those of
-- services/archiver/catalogue/machine/.

CREATE TABLE datasets (
    id uuid PRIMARY KEY,
    pid text NOT NULL UNIQUE,
    owner text NOT NULL,                            -- the user
    owner_group text NOT NULL,
    source_folder text NOT NULL,
    dataset_name text NOT NULL,
    contact_email text NOT NULL,
    description text NOT NULL,
    archivable boolean NOT NULL DEFAULT false,      -- these three: SciCat's flags of the life cycle
    retrievable boolean NOT NULL DEFAULT false,
    on_disk boolean NOT NULL DEFAULT true,
    archive_state smallint NOT NULL DEFAULT {dataset.files_not_ready_yet},
    retrieve_state smallint NOT NULL DEFAULT {retrieval.none},
    size bigint NOT NULL DEFAULT 0,                 -- bytes of its files
    files integer NOT NULL DEFAULT 0,               -- how many
    packed_size bigint NOT NULL DEFAULT 0,          -- bytes of its datablocks
    datablocks integer NOT NULL DEFAULT 0,          -- how many datablocks
    damaged integer NOT NULL DEFAULT 0,             -- and how many of them are damaged (docs/adr/0026-damage.md)
    chain uuid,                                     -- the chain that was last started for it
    finish_again boolean NOT NULL DEFAULT false,    -- `upload finish` came while that of an earlier one was under way: if it fails, it
                                                    -- has looked too early, and runs again
    addresses_until timestamptz,                    -- until when somebody may upload without asking again
    swept_at timestamptz,                           -- when what was uploaded was removed, because nobody had gone on with it
    version integer NOT NULL DEFAULT 1,             -- grows with every change, for readers of events
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX datasets_of_owner ON datasets (owner, id);

-- Files as they were registered together.
CREATE TABLE origdatablocks (
    id uuid PRIMARY KEY,
    dataset uuid NOT NULL REFERENCES datasets,
    size bigint NOT NULL,
    files integer NOT NULL
);
CREATE INDEX origdatablocks_of_dataset ON origdatablocks (dataset);

-- Files as they are packed together: a tar.
CREATE TABLE datablocks (
    id uuid PRIMARY KEY,
    dataset uuid NOT NULL REFERENCES datasets,
    number integer NOT NULL,
    name text NOT NULL,
    state smallint NOT NULL DEFAULT {datablock.planned},
    size bigint NOT NULL,                           -- bytes of its files
    files integer NOT NULL,                         -- how many
    packed_size bigint NOT NULL,                    -- bytes of the tar
    chk text NOT NULL DEFAULT '',                   -- SHA-256 of the tar
    staging_key text NOT NULL DEFAULT '',           -- where it was packed
    archive_id text NOT NULL,                       -- its key on long-term storage
    storage text NOT NULL,                          -- which one
    copy integer NOT NULL DEFAULT 1,                -- how often it was written there for good
    damage text NOT NULL DEFAULT '',                -- missing, size or checksum; stays until a new copy is validated
    found_at timestamptz,                           -- when that was found, and what
    found_size bigint,
    found_chk text NOT NULL DEFAULT '',
    UNIQUE (dataset, number)
);

CREATE TABLE files (
    dataset uuid NOT NULL REFERENCES datasets,
    path text COLLATE "C" NOT NULL,
    size bigint NOT NULL,                           -- bytes
    chk text NOT NULL,                              -- SHA-256
    origdatablock uuid NOT NULL REFERENCES origdatablocks,
    datablock uuid,                                 -- which tar it is in
    start bigint,                                   -- and where its first byte lies there
    PRIMARY KEY (dataset, path)
);
CREATE INDEX files_of_datablock ON files (datablock) WHERE datablock IS NOT NULL;
CREATE INDEX files_of_origdatablock ON files (origdatablock);

-- SciCat's jobs: what was asked to be done with a dataset.
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    type text NOT NULL CHECK (type IN ('archive', 'retrieve')),
    dataset uuid NOT NULL REFERENCES datasets,
    owner text NOT NULL,                            -- the user
    state smallint NOT NULL DEFAULT {job.job_submitted},
    message text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,             -- grows with every change, for readers of events
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX jobs_of_dataset ON jobs (dataset);

-- Datasets that their owners gave up: so that to do it twice is the same as once (docs/adr/0027-uploads-that-go-on.md).
CREATE TABLE abandoned (
    id uuid PRIMARY KEY,                            -- the dataset's
    pid text NOT NULL,
    owner text NOT NULL,
    size bigint NOT NULL,
    files integer NOT NULL,
    abandoned_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX abandoned_of_pid ON abandoned (pid, abandoned_at);

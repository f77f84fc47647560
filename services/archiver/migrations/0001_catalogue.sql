-- Datasets, their files as registered, the datablocks that hold them, and jobs. States are the numbers of machine.py.

CREATE TABLE datasets (
    id uuid PRIMARY KEY,
    pid text NOT NULL UNIQUE,
    owner text NOT NULL,
    owner_group text NOT NULL,
    source_folder text NOT NULL,
    dataset_name text NOT NULL,
    contact_email text NOT NULL,
    description text NOT NULL,
    archivable boolean NOT NULL DEFAULT false,
    retrievable boolean NOT NULL DEFAULT false,
    on_disk boolean NOT NULL DEFAULT true,
    archive_state smallint NOT NULL DEFAULT 1,
    retrieve_state smallint NOT NULL DEFAULT 1,
    size bigint NOT NULL DEFAULT 0,
    files integer NOT NULL DEFAULT 0,
    packed_size bigint NOT NULL DEFAULT 0,
    blocks integer NOT NULL DEFAULT 0,
    chain uuid,              -- the chain that was last started for it
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX datasets_of_owner ON datasets (owner, id);

CREATE TABLE origdatablocks (
    id uuid PRIMARY KEY,
    dataset uuid NOT NULL REFERENCES datasets,
    size bigint NOT NULL,
    files integer NOT NULL
);

CREATE TABLE datablocks (
    id uuid PRIMARY KEY,
    dataset uuid NOT NULL REFERENCES datasets,
    number integer NOT NULL,
    name text NOT NULL,
    state smallint NOT NULL DEFAULT 1,
    size bigint NOT NULL,
    files integer NOT NULL,
    packed_size bigint NOT NULL,
    chk text NOT NULL DEFAULT '',          -- SHA-256 of the tar
    staging_key text NOT NULL DEFAULT '',
    archive_id text NOT NULL,
    storage text NOT NULL,
    UNIQUE (dataset, number)
);

-- `datablock`, `start`: which tar it is in, and where its first byte lies there.
CREATE TABLE files (
    dataset uuid NOT NULL REFERENCES datasets,
    path text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    chk text NOT NULL,
    origdatablock uuid NOT NULL REFERENCES origdatablocks,
    datablock uuid,
    start bigint,
    PRIMARY KEY (dataset, path)
);

CREATE INDEX files_of_datablock ON files (datablock) WHERE datablock IS NOT NULL;

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    type text NOT NULL CHECK (type IN ('archive', 'retrieve')),
    dataset uuid NOT NULL REFERENCES datasets,
    owner text NOT NULL,
    state smallint NOT NULL DEFAULT 1,
    message text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Retrievals, their datablocks, and the results that they are to produce. How far a retrieval is, its chain says, which has
-- the same id.

CREATE TABLE retrievals (
    id uuid PRIMARY KEY,
    pid text NOT NULL,
    owner text NOT NULL,
    job uuid,
    session uuid,
    wanted integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What the catalogue said of the datablocks when the retrieval began. `back`: it is in retrieval storage, and right.
CREATE TABLE blocks (
    retrieval uuid NOT NULL REFERENCES retrievals ON DELETE CASCADE,
    datablock uuid NOT NULL,
    archive_id text NOT NULL,
    packed_size bigint NOT NULL,
    chk text NOT NULL,
    back boolean NOT NULL DEFAULT false,
    PRIMARY KEY (retrieval, datablock)
);

-- `datablock`, `start`: where the file lies, once that is known.
CREATE TABLE wanted (
    retrieval uuid NOT NULL REFERENCES retrievals ON DELETE CASCADE,
    path text COLLATE "C" NOT NULL,
    result uuid NOT NULL,
    datablock uuid,
    start bigint,
    size bigint,
    chk text,
    produced boolean NOT NULL DEFAULT false,
    PRIMARY KEY (retrieval, result)
);

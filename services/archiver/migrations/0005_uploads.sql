-- Uploads that go on, are corrected, abandoned, or forgotten by those who began them.

-- `addresses_until`: until when somebody may upload without asking again. `swept_at`: when what was uploaded was removed, because
-- nobody had gone on with it.
ALTER TABLE datasets ADD COLUMN addresses_until timestamptz, ADD COLUMN swept_at timestamptz;

-- Datasets that their owners gave up: so that to do it twice is the same as once.
CREATE TABLE abandoned (
    id uuid PRIMARY KEY,
    pid text NOT NULL,
    owner text NOT NULL,
    size bigint NOT NULL,
    files integer NOT NULL,
    abandoned_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX abandoned_of_pid ON abandoned (pid, abandoned_at);

-- What a dataset's rows are removed by. The table of files may be large: minutes, not the one minute of other migrations.
SET LOCAL statement_timeout = '1h';
CREATE INDEX files_of_origdatablock ON files (origdatablock);
CREATE INDEX origdatablocks_of_dataset ON origdatablocks (dataset);
CREATE INDEX jobs_of_dataset ON jobs (dataset);

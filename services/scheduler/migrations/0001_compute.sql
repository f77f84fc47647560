-- Sessions, results, tasks. States are the numbers of shared/contracts/states.py.
--
-- What keeps a task cheap (docs/adr/0004-task-rows.md): ids that arrive in order, no secondary index on tasks or results
-- whose columns ever change (updates stay heap-only), room in the pages for the one update, and a cursor in `lanes` instead
-- of a write per task that is chosen.

CREATE TABLE partitions (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    status smallint NOT NULL,
    owner text NOT NULL,
    partitions text[] NOT NULL,
    options jsonb NOT NULL,
    client_submission boolean NOT NULL DEFAULT true,
    worker_submission boolean NOT NULL DEFAULT true,
    epoch integer NOT NULL DEFAULT 1,   -- grows when the session's queue is rebuilt
    version integer NOT NULL DEFAULT 1, -- grows with every change, for readers of events
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
CREATE INDEX sessions_owner ON sessions (owner, id);

CREATE TABLE submissions (
    id uuid PRIMARY KEY,
    session uuid NOT NULL REFERENCES sessions,
    owner text NOT NULL,
    status smallint NOT NULL,
    options jsonb NOT NULL,
    trace text NOT NULL,
    tasks integer NOT NULL DEFAULT 0,
    cross_chunk boolean NOT NULL DEFAULT false, -- a line refers to another chunk: looked up when it is complete
    outside boolean NOT NULL DEFAULT false,     -- waits for results of others: its tasks begin as CREATING
    claims boolean NOT NULL DEFAULT false,      -- produces results that existed before: could close a cycle
    settled boolean NOT NULL DEFAULT false,     -- every task has ended: recovery need not look here
    refusal text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX submissions_session ON submissions (session, id);
CREATE INDEX submissions_active ON submissions (id) WHERE NOT settled;

CREATE TABLE chunks (
    submission uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    number integer NOT NULL,
    first_line integer NOT NULL,
    tasks integer NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (submission, number)
);

-- How far the initially ready tasks of a submission have been chosen, for each partition and priority in it: tasks of
-- lines below `cursor` are SUBMITTED without a write of their own.
CREATE TABLE lanes (
    submission uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    partition smallint NOT NULL,
    priority smallint NOT NULL,
    session uuid NOT NULL,
    cursor integer NOT NULL DEFAULT 0,
    upto integer NOT NULL,
    PRIMARY KEY (submission, partition, priority)
);
CREATE INDEX lanes_waiting ON lanes (partition, priority, session, submission) WHERE cursor < upto;

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    session uuid NOT NULL,
    remaining integer NOT NULL,  -- dependencies not yet met
    deps integer NOT NULL,       -- those there were when it was submitted; 0: it was ready from the start
    status smallint NOT NULL,
    attempt smallint NOT NULL,
    partition smallint NOT NULL,
    priority smallint NOT NULL,
    max_retries smallint NOT NULL,
    max_duration real NOT NULL,  -- seconds; 0: no limit
    function text NOT NULL,
    payload bytea,               -- JSON text
    payload_result uuid,
    inputs uuid[],
    outputs uuid[] NOT NULL,
    labels jsonb,
    started_at timestamptz,
    ended_at timestamptz,
    worker text,
    error text
) WITH (fillfactor = 50);

CREATE TABLE results (
    id uuid PRIMARY KEY,
    session uuid NOT NULL,
    standalone boolean NOT NULL, -- made by itself, not as a task's output: only these are indexed by session
    status smallint NOT NULL,
    size bigint NOT NULL DEFAULT 0,
    owner uuid,                  -- the task that produces it
    name text NOT NULL DEFAULT '',
    data bytea,                  -- values up to 16 KiB
    object text,                 -- or the key in object storage
    created_at timestamptz NOT NULL,
    completed_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX results_standalone ON results (session, id) WHERE standalone;

-- Edges, only to find who waits for a result.
CREATE TABLE dependencies (
    result uuid NOT NULL,
    task uuid NOT NULL,
    PRIMARY KEY (result, task)
);

-- Tasks released when no worker's turn was free for them.
CREATE TABLE ready (
    partition smallint NOT NULL,
    priority smallint NOT NULL,
    session uuid NOT NULL,
    task uuid NOT NULL,
    PRIMARY KEY (partition, priority, session, task)
);

-- What workers are known to hold: tasks that run for more than 100 ms, and those found with a worker after a restart.
CREATE TABLE running (
    task uuid PRIMARY KEY,
    attempt smallint NOT NULL,
    worker text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX running_worker ON running (worker);

CREATE TABLE attempts (
    task uuid NOT NULL,
    attempt smallint NOT NULL,
    worker text NOT NULL,
    error text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task, attempt)
);

CREATE TABLE workers (
    name text PRIMARY KEY,
    partition text NOT NULL,
    slots integer NOT NULL,
    functions text[] NOT NULL,
    holds integer NOT NULL,
    beat_at timestamptz NOT NULL
);

INSERT INTO partitions (name) VALUES ('default');

-- Partitions, where their tasks wait, and where they run.

-- Who may run how much of what. Tasks name a partition by its number.
CREATE TABLE partitions (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    priority smallint NOT NULL DEFAULT 1,           -- on workers that serve several, the higher one's tasks begin first
    reserve integer NOT NULL DEFAULT 0,             -- slots for which tasks of others are preempted
    max integer,                                    -- most tasks outstanding at once; NULL: no limit
    of_site boolean NOT NULL DEFAULT false,         -- a site has entered it: its workers report of its tasks alone
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz                          -- it keeps its row, as tasks that ended there name it; made anew it gets it back
);
INSERT INTO partitions (name) VALUES ('default');

-- How far the initially ready tasks of a submission have been chosen, for each partition and priority in it: tasks of
-- lines below `cursor` are SUBMITTED without a write of their own.
CREATE TABLE lanes (
    submission uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    partition smallint NOT NULL,
    priority smallint NOT NULL,
    session uuid NOT NULL,
    cursor integer NOT NULL DEFAULT 0,              -- the first line that was not chosen
    upto integer NOT NULL,                          -- after its last line
    function text,                                  -- of all its tasks; NULL: they have several, or nobody has looked. A lane whose
                                                    -- function no worker has is not chosen from (docs/adr/0023-function-placement.md)
    PRIMARY KEY (submission, partition, priority)
);
CREATE INDEX lanes_waiting ON lanes (partition, priority, session, submission) WHERE cursor < upto;

-- Tasks released when no worker's turn was free for them.
CREATE TABLE ready (
    partition smallint NOT NULL,
    priority smallint NOT NULL,
    session uuid NOT NULL,
    task uuid NOT NULL,
    PRIMARY KEY (partition, priority, session, task)
);

-- Ready tasks that no worker who could take them has the function for: what was chosen and could not be placed, or came back from
-- a worker without its function. An entry holds while the task is PENDING in this attempt; whoever reads it checks
-- that, so nobody who changes a task has to look here (docs/adr/0023-function-placement.md).
CREATE TABLE unplaced (
    partition smallint NOT NULL,
    function text NOT NULL,
    task uuid NOT NULL,
    attempt smallint NOT NULL,
    session uuid NOT NULL,
    PRIMARY KEY (partition, function, task)
);
CREATE INDEX unplaced_session ON unplaced (session);

-- What workers are known to hold: tasks that run for more than 100 ms, and those found with a worker after a restart.
CREATE TABLE running (
    task uuid PRIMARY KEY,
    attempt smallint NOT NULL,
    worker text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX running_worker ON running (worker);

-- The last heartbeat of each worker.
CREATE TABLE workers (
    name text PRIMARY KEY,
    partition text NOT NULL,                        -- the first of those that it serves
    partitions text[] NOT NULL DEFAULT '{}',
    slots integer NOT NULL,
    functions text[] NOT NULL,
    holds integer NOT NULL,                         -- tasks that it has
    unwell text NOT NULL DEFAULT '',                -- why it runs nothing at the moment, or less than its slots; empty: it is well
    beat_at timestamptz NOT NULL
);

-- Sessions, submissions, tasks and results. Where tasks wait and run: 0002_dispatch.sql. What functions return: 0003_effects.sql.
-- The states in `status` are those of services/scheduler/machine/.
--
-- What keeps a task cheap (docs/adr/0004-task-rows.md): ids that arrive in order, no secondary index on tasks or results
-- whose columns ever change (updates stay heap-only), room in the pages for the one update, and a cursor in `lanes` instead
-- of a write per task that is chosen.
--
-- Ids of tasks say where they belong: the last 32 bits of a task's id are its line in its submission, the bits before are its
-- submission's id (`line_of_v1`, `submission_of_v1`, `last_task_v1`).

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    status smallint NOT NULL,
    owner text NOT NULL,                            -- the user
    partitions text[] NOT NULL,                     -- names of those that its tasks may run in
    options jsonb NOT NULL,                         -- what its tasks take where they say nothing
    client_submission boolean NOT NULL DEFAULT true, -- users may submit; only ever goes off
    worker_submission boolean NOT NULL DEFAULT true, -- its tasks may submit; only ever goes off
    close_when_done boolean NOT NULL DEFAULT false, -- closes by itself when all its tasks have ended
    closed_itself boolean NOT NULL DEFAULT false,   -- it has: nothing was taken back, so to run a task of it again opens it
    epoch integer NOT NULL DEFAULT 1,               -- grows when what is queued of it is taken back: what was sent before is void
    version integer NOT NULL DEFAULT 1,             -- grows with every change, for readers of events
    pending_cleanup boolean NOT NULL DEFAULT false, -- what its last change of state entails is not all done
    operation uuid,                                 -- the chain that purges or deletes it
    deleting boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),  -- its state
    closed_at timestamptz,
    cancelled_at timestamptz,
    purged_at timestamptz,
    expires_at timestamptz                          -- when it is deleted; NULL: never
);
CREATE INDEX sessions_owner ON sessions (owner, id);
CREATE INDEX sessions_pending_cleanup ON sessions (changed_at) WHERE pending_cleanup;
CREATE INDEX sessions_expiring ON sessions (expires_at) WHERE expires_at IS NOT NULL AND NOT deleting;
CREATE INDEX sessions_closing ON sessions (id) WHERE close_when_done AND status = {session.running};

-- Tasks that came together. One with a parent is what a running task creates: it stays OPEN, and unseen, until that attempt of the parent
-- completes (docs/adr/0013-subtasks.md).
CREATE TABLE submissions (
    id uuid PRIMARY KEY,
    session uuid NOT NULL REFERENCES sessions,
    owner text NOT NULL,                            -- the user
    status smallint NOT NULL,
    options jsonb NOT NULL,
    trace text NOT NULL,                            -- W3C traceparent of the request, or empty; its tasks carry it on
    tasks integer NOT NULL DEFAULT 0,               -- how many; known when it is visible
    outside boolean NOT NULL DEFAULT false,         -- waits for results of others: its tasks begin as CREATING
    applications boolean NOT NULL DEFAULT false,    -- some of its tasks name one: only then are they looked up
    ended boolean NOT NULL DEFAULT false,           -- every task has ended: recovery need not look here
    refusal text NOT NULL DEFAULT '',               -- why it was refused
    parent uuid,                                    -- the task that creates it
    parent_attempt smallint,
    sealed boolean NOT NULL DEFAULT false,          -- of a parent: all of it is there, and checked
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX submissions_session ON submissions (session, id);
CREATE INDEX submissions_active ON submissions (id) WHERE NOT ended;
CREATE INDEX submissions_hidden ON submissions (id) WHERE parent IS NOT NULL AND status = {submission.open};

-- The parts in which a submission comes. What only the last one looks at is noted with each: in the submission's row, which
-- all that are under way hold, they would wait for one another.
CREATE TABLE chunks (
    submission uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    number integer NOT NULL,
    first_line integer NOT NULL,
    tasks integer NOT NULL,
    digest bytea NOT NULL,                          -- of its content: one that comes again is known by it
    cross_chunk boolean NOT NULL,                   -- a line refers to another chunk: looked up when the submission is complete
    outside boolean NOT NULL,                       -- a line waits for results of others
    claims boolean NOT NULL,                        -- a line produces results that existed before: could close a cycle
    applications boolean NOT NULL,                  -- a line names an application
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (submission, number)
);

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    session uuid NOT NULL,
    remaining integer NOT NULL,                     -- dependencies not yet met
    deps integer NOT NULL,                          -- those there were when it was submitted; 0: it was ready from the start
    status smallint NOT NULL,
    attempt smallint NOT NULL,                      -- 0 is the first
    partition smallint NOT NULL,
    priority smallint NOT NULL,
    max_retries smallint NOT NULL,
    max_duration real NOT NULL,                     -- seconds; 0: no limit
    function text NOT NULL,
    payload bytea,                                  -- JSON text
    payload_result uuid,                            -- or the result that holds it
    inputs uuid[],
    outputs uuid[] NOT NULL,
    labels jsonb,
    started_at timestamptz,
    ended_at timestamptz,
    worker text,
    error text,
    uncounted smallint NOT NULL DEFAULT 0,          -- attempts that do not count against max_retries
    application jsonb,                              -- {name, version, namespace, service} as far as given
    parent uuid                                     -- the task that created it
) WITH (fillfactor = 50);

CREATE TABLE results (
    id uuid PRIMARY KEY,
    session uuid NOT NULL,
    standalone boolean NOT NULL,                    -- made by itself, not as a task's output: only these are indexed by session
    status smallint NOT NULL,
    size bigint NOT NULL DEFAULT 0,                 -- bytes
    owner uuid,                                     -- the task that produces it
    name text NOT NULL DEFAULT '',
    data bytea,                                     -- values up to 16 KiB
    object text,                                    -- or the key in object storage
    created_at timestamptz NOT NULL,
    completed_at timestamptz,                       -- also when it was aborted
    checksum bytea,                                 -- SHA-256, where whoever stored the value gave it
    owned boolean NOT NULL DEFAULT true             -- false: the object was imported, and is not ours to remove
) WITH (fillfactor = 50);
CREATE INDEX results_standalone ON results (session, id) WHERE standalone;

-- Edges, only to find who waits for a result.
CREATE TABLE dependencies (
    result uuid NOT NULL,
    task uuid NOT NULL,
    PRIMARY KEY (result, task)
);

-- Results of a submission with a parent: they get the value of this child's result when the parent completes.
CREATE TABLE promised (
    submission uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    id uuid NOT NULL,
    delegated boolean NOT NULL,                     -- an expected output of the parent; otherwise the parent created it
    owner uuid,                                     -- the child that produces it
    name text NOT NULL DEFAULT '',
    size bigint NOT NULL DEFAULT 0,
    data bytea,
    object text,
    checksum bytea,
    PRIMARY KEY (submission, id)
);

-- The history: attempts before the one that the task's row is about.
CREATE TABLE attempts (
    task uuid NOT NULL,
    attempt smallint NOT NULL,
    worker text NOT NULL,
    error text NOT NULL,
    status smallint NOT NULL DEFAULT {task.retried}, -- how it ended; otherwise only if somebody ran the task anew
    started_at timestamptz,
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task, attempt)
);

-- What tasks print, in the pieces in which it was reported.
CREATE TABLE task_logs (
    task uuid NOT NULL,
    attempt smallint NOT NULL,
    start integer NOT NULL,                         -- characters of the attempt's log before this piece
    text text NOT NULL,
    PRIMARY KEY (task, attempt, start)
);

-- Objects that no result points to any more: written in the transaction that let go of them, removed after it.
CREATE TABLE orphaned_objects (
    key text PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT now()
);

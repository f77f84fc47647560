-- What the functions return: rows of several kinds, since each is called once a batch.

-- What a caller of a function that completes or releases tasks has to do after the commit. `kind` says what the row is:
--   'ended'   `tasks` tasks of `partition` and `function` have completed, `id` is one of them: they leave the partition's window
--   'chosen'  task `id` is to be put into the queue; all columns but the last four are what its message needs
--   'again'   task `id` waits anew, as attempt `attempt`
--   'event'   the row `outbox` of the outbox is to be published: `subject`, `body`
CREATE TYPE effect AS (
    kind text,
    id uuid,
    session uuid,
    partition smallint,
    priority smallint,
    attempt smallint,
    epoch integer,                                  -- the session's when the task was chosen: what is taken back later is known by it
    max_duration real,
    function text,
    payload bytea,
    payload_result uuid,
    inputs uuid[],
    outputs uuid[],
    tasks bigint,
    outbox bigint,
    subject text,
    body bytea
);

-- What has become of tasks that end without their outputs, and of what waited for them. `kind` says what the row is:
--   'failed'    task `id` has ended
--   'stopping'  task `id` is CANCELLING: its worker is to stop it
--   'aborted'   result `id` will never have a value
CREATE TYPE ending AS (
    kind text,
    id uuid,
    session uuid,
    partition smallint,                             -- of a task
    outputs uuid[]                                  -- of a task
);

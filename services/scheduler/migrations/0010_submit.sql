-- A short submission in one statement, where a dozen would take longer than all that becomes of it.

-- Of a task, what a submission says (`TASK_COLUMNS` of decide.py).
CREATE TYPE submitted AS (
    id uuid,
    session uuid,
    remaining integer,
    deps integer,
    status smallint,
    attempt smallint,
    partition smallint,
    priority smallint,
    max_retries smallint,
    max_duration real,
    function text,
    payload bytea,
    payload_result uuid,
    inputs uuid[],
    outputs uuid[],
    labels jsonb,
    application jsonb,
    parent uuid
);

-- A submission that comes whole, waits for nothing of others and claims nothing: visible at once. `_choose`: there is credit for
-- all that are ready, which are chosen with it (kind 3), as if their lanes had been passed; unless the session is paused.
-- Returns the row of the outbox (4) and what was chosen; nothing, and has done nothing, if the session takes none or the
-- submission is there already: whoever asks again step by step finds out which.
CREATE FUNCTION submit_v1(
    _submission uuid, _session uuid, _owner text, _options jsonb, _trace text, _digest bytea, _applications boolean,
    _tasks submitted[], _results uuid[], _owners uuid[], _created timestamptz, _needed uuid[], _needing uuid[],
    _partitions smallint[], _priorities smallint[], _upto integer[], _choose boolean
) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _epoch bigint;
    _runs boolean;
BEGIN
    SELECT s.epoch, s.status = 1 INTO _epoch, _runs FROM sessions s
    WHERE s.id = _session AND s.status IN (1, 2) AND s.client_submission FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO submissions (id, session, owner, status, options, trace, tasks, applications)
    VALUES (_submission, _session, _owner, 2, _options, _trace, cardinality(_tasks), _applications) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO chunks (submission, number, first_line, tasks, digest, cross_chunk, outside, claims, applications)
    VALUES (_submission, 0, 0, cardinality(_tasks), _digest, false, false, false, _applications);
    INSERT INTO tasks (id, session, remaining, deps, status, attempt, partition, priority, max_retries, max_duration, function,
                       payload, payload_result, inputs, outputs, labels, application, parent)
    SELECT * FROM unnest(_tasks);
    INSERT INTO results (id, session, standalone, status, owner, created_at)
    SELECT r.id, _session, false, 1, r.owner, _created FROM unnest(_results, _owners) AS r(id, owner);
    IF cardinality(_needed) > 0 THEN
        INSERT INTO dependencies (result, task) SELECT * FROM unnest(_needed, _needing);
    END IF;
    INSERT INTO lanes (submission, session, partition, priority, upto, cursor)
    SELECT _submission, _session, l.partition, l.priority, l.upto, CASE WHEN _choose AND _runs THEN l.upto ELSE 0 END
    FROM unnest(_partitions, _priorities, _upto) AS l(partition, priority, upto);
    IF _choose AND _runs THEN
        RETURN QUERY SELECT 3::smallint, t.id, t.session, t.partition, t.priority, t.attempt, t.max_duration, t.function,
            t.payload, t.payload_result, t.inputs, t.outputs, _epoch, NULL::text
            FROM unnest(_tasks) AS t WHERE t.deps = 0;
    END IF;
    RETURN QUERY
    WITH told AS (
        INSERT INTO outbox (subject, body, trace)
        VALUES ('hr.evt.submission.visible.' || _session, convert_to('{"session":"' || _session || '","submission":"'
            || _submission || '","tasks":' || cardinality(_tasks) || '}', 'UTF8'), _trace)
        RETURNING outbox.id, outbox.subject, outbox.body
    )
    SELECT 4::smallint, NULL::uuid, NULL::uuid, NULL::smallint, NULL::smallint, NULL::smallint, NULL::real, NULL::text,
           t.body, NULL::uuid, NULL::uuid[], NULL::uuid[], t.id, t.subject FROM told t;
END $$;

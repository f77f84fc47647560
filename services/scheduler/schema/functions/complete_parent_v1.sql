-- A completed task that has created tasks or results, and what becomes true with it. Returns rows as complete_v1 does, none
-- if the report does not count. It raises an exception if the task cannot complete like this: then nothing has happened.
-- Locks in the order of 0005_sessions.sql.
CREATE OR REPLACE FUNCTION complete_parent_v1(
    _task uuid, _attempt smallint, _submission uuid,
    _ids uuid[], _sizes bigint[], _data bytea[], _objects text[], _checksums text[],
    _partitions smallint[], _credits integer[]
) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _session uuid;
    _open boolean;
    _parent tasks;
    _tasks integer;
    _outside boolean;
    _left uuid[];
    _made uuid[];
    _created uuid[];
    _ready uuid[];
BEGIN
    UPDATE tasks SET status = {task.completed}, ended_at = now()
    WHERE id = _task AND attempt = _attempt AND status IN ({task.open}) AND remaining = 0 RETURNING * INTO _parent;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    _session := _parent.session;
    DELETE FROM running WHERE task = _task;
    UPDATE submissions SET status = {submission.visible}
    WHERE id = _submission AND parent = _task AND parent_attempt = _attempt AND status = {submission.open} AND sealed
    RETURNING tasks, outside INTO _tasks, _outside;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not all of submission % has arrived', _submission;
    END IF;

    -- Each expected output goes to a child, or gets its value here.
    WITH given AS (
        UPDATE results r SET owner = p.owner FROM promised p
        WHERE p.submission = _submission AND p.delegated AND r.id = p.id AND r.owner = _task AND r.status = {result.created}
        RETURNING r.id
    )
    SELECT array_agg(id) INTO _left FROM given;
    WITH made AS (
        UPDATE results r SET status = {result.completed}, size = o.size, data = o.data, object = o.object,
            checksum = decode(o.checksum, 'hex'), completed_at = now()
        FROM unnest(_ids, _sizes, _data, _objects, _checksums) AS o(id, size, data, object, checksum)
        WHERE r.id = o.id AND r.owner = _task AND r.status = {result.created} RETURNING r.id
    )
    SELECT array_agg(id) INTO _made FROM made;
    IF coalesce(cardinality(_made), 0) <> cardinality(_ids)
        OR cardinality(_ids) + coalesce(cardinality(_left), 0) <> cardinality(_parent.outputs)
    THEN
        RAISE EXCEPTION 'reported % outputs and delegated %, % are expected',
            cardinality(_ids), coalesce(cardinality(_left), 0), cardinality(_parent.outputs);
    END IF;
    WITH created AS (
        INSERT INTO results (id, session, standalone, status, owner, size, name, data, object, checksum, created_at,
                             completed_at)
        SELECT p.id, _session, true, CASE WHEN c.complete THEN {result.completed} ELSE {result.created} END, p.owner, p.size, p.name, p.data, p.object,
               p.checksum, now(), CASE WHEN c.complete THEN now() END
        FROM promised p CROSS JOIN LATERAL (SELECT p.data IS NOT NULL OR p.object IS NOT NULL AS complete) AS c
        WHERE p.submission = _submission AND NOT p.delegated RETURNING id, status
    )
    SELECT array_agg(id) INTO _created FROM created WHERE status = {result.completed};
    DELETE FROM promised WHERE submission = _submission;
    SELECT s.status IN ({session.open}) AND s.worker_submission INTO _open FROM sessions s WHERE s.id = _session FOR SHARE;
    IF NOT _open THEN
        RAISE EXCEPTION 'session % takes no tasks or results from its tasks any more', _session;
    END IF;

    RETURN QUERY SELECT 1::smallint, _task, NULL::uuid, _parent.partition, NULL::smallint, NULL::smallint, NULL::real,
        _parent.function, NULL::bytea, NULL::uuid, NULL::uuid[], NULL::uuid[], 1::bigint, NULL::text;
    -- Children that wait for its outputs are counted down with all others, and begin afterwards.
    IF _made IS NOT NULL THEN
        RETURN QUERY SELECT * FROM count_down_v1(_made, _partitions, _credits);
    END IF;
    IF _outside THEN
        WITH begun AS (
            UPDATE tasks SET status = {task.pending}
            WHERE id >= _submission AND id <= (left(_submission::text, 28) || 'ffffffff')::uuid AND status = {task.creating}
            RETURNING id, remaining
        )
        SELECT array_agg(id) INTO _ready FROM begun WHERE remaining = 0;
        IF _ready IS NOT NULL THEN
            RETURN QUERY SELECT * FROM choose_v1(_ready, _partitions, _credits);
        END IF;
    END IF;

    RETURN QUERY
    WITH told AS (
        -- The children first: who counts what has ended must know of them.
        SELECT 0 AS place, 'hr.evt.submission.visible.' || _session AS subject,
            '{"session":"' || _session || '","submission":"' || _submission || '","tasks":' || _tasks || '}' AS body
        WHERE _tasks > 0
        UNION ALL
        SELECT 1, 'hr.evt.task.changed.' || _session,
            '{"session":"' || _session || '","completed":["' || _task || '"]'
            || coalesce(',"results":["' || (SELECT string_agg(m::text, '","') FROM unnest(_made) AS m) || '"]', '') || '}'
        UNION ALL
        SELECT 2 + slice, 'hr.evt.task.changed.' || _session,
            '{"session":"' || _session || '","results":["' || string_agg(id::text, '","') || '"]}'
        FROM (SELECT c.id, ((c.n - 1) / 8000)::integer AS slice FROM unnest(_created) WITH ORDINALITY AS c(id, n)) AS c
        GROUP BY slice
    ), kept AS (
        INSERT INTO outbox (subject, body) SELECT subject, convert_to(body, 'UTF8') FROM told ORDER BY place
        RETURNING outbox.id, outbox.subject, outbox.body
    )
    SELECT 4::smallint, NULL::uuid, NULL::uuid, NULL::smallint, NULL::smallint, NULL::smallint, NULL::real, NULL::text,
           k.body, NULL::uuid, NULL::uuid[], NULL::uuid[], k.id, k.subject FROM kept k ORDER BY k.id;
END $$;

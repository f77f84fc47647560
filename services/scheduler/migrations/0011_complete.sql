-- Completion, cheaper: what a statement costs is mostly its beginning, so there are few, and those of a task alone are of the
-- plainest kind (docs/benchmarks.md). Order of locks, and why these are functions: see 0002_release.sql and 0005_sessions.sql.

-- As before, but edges are read once, and those at zero are chosen at once if there is credit for all of them in their own
-- partition, whatever there is in others.
CREATE OR REPLACE FUNCTION count_down_v1(_results uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _tasks uuid[];
    _counts integer[];
    _sessions uuid[];
    _epochs bigint[];
    _running uuid[];
    _roomy smallint[];
    _row released;
    _ready uuid[];
BEGIN
    SELECT array_agg(m.task), array_agg(m.k) INTO _tasks, _counts FROM (
        SELECT d.task, count(*)::integer AS k FROM dependencies d WHERE d.result = ANY(_results) GROUP BY d.task ORDER BY d.task
    ) AS m;
    IF _tasks IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(s.id), array_agg(s.epoch), array_agg(s.id) FILTER (WHERE s.status = 1) INTO _sessions, _epochs, _running
    FROM (
        SELECT id, epoch, status FROM sessions WHERE id IN (SELECT t.session FROM tasks t WHERE t.id = ANY(_tasks))
        ORDER BY id FOR SHARE
    ) AS s;
    _roomy := ARRAY(SELECT c.partition FROM unnest(_partitions, _credits) AS c(partition, credit)
                    WHERE c.credit >= cardinality(_tasks));
    FOR _row IN
        WITH locked AS MATERIALIZED (
            SELECT t.id, m.k FROM unnest(_tasks, _counts) AS m(task, k) JOIN tasks t ON t.id = m.task
            ORDER BY t.id FOR UPDATE OF t
        ), counted AS (
            UPDATE tasks t SET remaining = t.remaining - l.k, status = CASE
                WHEN t.remaining = l.k AND t.status = 2 AND t.partition = ANY(_roomy) AND t.session = ANY(_running) THEN 3
                ELSE t.status END
            FROM locked l WHERE t.id = l.id RETURNING t.*
        )
        SELECT CASE status WHEN 3 THEN 3 ELSE 0 END, c.id, c.session, c.partition, c.priority, c.attempt, c.max_duration,
            c.function, c.payload, c.payload_result, c.inputs, c.outputs, _epochs[array_position(_sessions, c.session)], NULL
        FROM counted c WHERE c.remaining = 0 AND c.status IN (2, 3)
    LOOP
        IF _row.kind = 3 THEN
            RETURN NEXT _row;
        ELSE
            _ready := _ready || _row.id;
        END IF;
    END LOOP;
    IF _ready IS NOT NULL THEN
        RETURN QUERY SELECT * FROM choose_v1(_ready, _partitions, _credits);
    END IF;
END $$;

-- One task with one output, which is what a chain's hop is. Returns what `complete_v1` returns.
CREATE FUNCTION complete_one_v1(
    _task uuid, _attempt smallint, _result uuid, _size bigint, _data bytea, _object text,
    _partitions smallint[], _credits integer[]
) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _session uuid;
    _partition smallint;
    _function text;
    _waiting uuid[];
    _runs boolean;
    _epoch bigint;
    _next tasks;
    _told outbox;
BEGIN
    UPDATE tasks SET status = 6, ended_at = now()
    WHERE id = _task AND attempt = _attempt AND status IN (2, 3, 4, 5, 10) AND remaining = 0 AND cardinality(outputs) = 1
    RETURNING session, partition, function INTO _session, _partition, _function;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM running WHERE task = _task;
    UPDATE results SET status = 2, size = _size, data = _data, object = _object, completed_at = now()
    WHERE id = _result AND owner = _task AND status = 1;
    IF NOT FOUND THEN
        RAISE data_exception USING MESSAGE = 'the outputs reported are not the outputs of their task';
    END IF;
    RETURN NEXT ROW(1, _task, NULL, _partition, NULL, NULL, NULL, _function, NULL, NULL, NULL, NULL, 1, NULL)::released;

    _waiting := ARRAY(SELECT task FROM dependencies WHERE result = _result LIMIT 2);
    IF cardinality(_waiting) = 1 THEN
        SELECT status = 1, epoch INTO _runs, _epoch FROM sessions WHERE id = _session FOR SHARE;
        UPDATE tasks SET remaining = remaining - 1,
            status = CASE WHEN remaining = 1 AND status = 2 AND _runs AND partition = ANY(_partitions) THEN 3 ELSE status END
        WHERE id = _waiting[1] RETURNING * INTO _next;
        IF _next.remaining = 0 AND _next.status = 3 THEN
            RETURN NEXT ROW(3, _next.id, _session, _next.partition, _next.priority, _next.attempt, _next.max_duration,
                _next.function, _next.payload, _next.payload_result, _next.inputs, _next.outputs, _epoch, NULL)::released;
        ELSIF _next.remaining = 0 AND _next.status = 2 THEN
            RETURN QUERY SELECT * FROM choose_v1(_waiting, _partitions, _credits);
        END IF;
    ELSIF cardinality(_waiting) > 1 THEN
        RETURN QUERY SELECT * FROM count_down_v1(ARRAY[_result], _partitions, _credits);
    END IF;

    INSERT INTO outbox (subject, body) VALUES ('hr.evt.task.changed.' || _session, convert_to('{"session":"' || _session
        || '","completed":["' || _task || '"],"results":["' || _result || '"]}', 'UTF8')) RETURNING * INTO _told;
    RETURN NEXT ROW(4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, _told.body, NULL, NULL, NULL, _told.id, _told.subject)::released;
END $$;

-- As before, but the owners of results are looked up only if some of the reports did not count.
CREATE OR REPLACE FUNCTION complete_v1(
    _tasks uuid[], _attempts smallint[], _counts smallint[],
    _ids uuid[], _owners uuid[], _sizes bigint[], _data bytea[], _objects text[],
    _partitions smallint[], _credits integer[]
) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _done uuid[];
    _done_sessions uuid[];
    _done_partitions smallint[];
    _done_functions text[];
    _expected bigint;
    _made uuid[];
    _made_sessions uuid[];
BEGIN
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest(_tasks, _attempts, _counts) AS u(id, attempt, outputs) ORDER BY id
    ), done AS (
        UPDATE tasks t SET status = 6, ended_at = now() FROM told
        WHERE t.id = told.id AND t.attempt = told.attempt AND t.status IN (2, 3, 4, 5, 10) AND t.remaining = 0
          AND cardinality(t.outputs) = told.outputs
        RETURNING t.id, t.session, t.partition, t.function, told.outputs
    )
    SELECT array_agg(id), array_agg(session), array_agg(partition), array_agg(function), sum(outputs)
    INTO _done, _done_sessions, _done_partitions, _done_functions, _expected FROM done;
    IF _done IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT 1 FROM running) THEN
        DELETE FROM running r WHERE r.task = ANY(_done);
    END IF;
    -- The result's own state and owner are the guard.
    IF cardinality(_done) = cardinality(_tasks) THEN
        WITH made AS (
            UPDATE results r SET status = 2, size = o.size, data = o.data, object = o.object, completed_at = now()
            FROM unnest(_ids, _owners, _sizes, _data, _objects) AS o(id, owner, size, data, object)
            WHERE r.id = o.id AND r.owner = o.owner AND r.status = 1
            RETURNING r.id, r.session
        )
        SELECT array_agg(id), array_agg(session) INTO _made, _made_sessions FROM made;
    ELSE -- those that ended in this transaction are known by its time
        WITH made AS (
            UPDATE results r SET status = 2, size = o.size, data = o.data, object = o.object, completed_at = now()
            FROM unnest(_ids, _owners, _sizes, _data, _objects) AS o(id, owner, size, data, object)
            JOIN tasks t ON t.id = o.owner AND t.status = 6 AND t.ended_at = now()
            WHERE r.id = o.id AND r.owner = o.owner AND r.status = 1
            RETURNING r.id, r.session
        )
        SELECT array_agg(id), array_agg(session) INTO _made, _made_sessions FROM made;
    END IF;
    IF coalesce(cardinality(_made), 0) <> _expected THEN -- the caller finds out which report it is
        RAISE data_exception USING MESSAGE = 'the outputs reported are not the outputs of their task';
    END IF;
    RETURN QUERY
        SELECT 1::smallint, (array_agg(d.id))[1], NULL::uuid, d.partition, NULL::smallint, NULL::smallint, NULL::real,
            d.function, NULL::bytea, NULL::uuid, NULL::uuid[], NULL::uuid[], count(*), NULL::text
        FROM unnest(_done, _done_partitions, _done_functions) AS d(id, partition, function) GROUP BY d.partition, d.function;
    IF _made IS NOT NULL THEN
        RETURN QUERY SELECT * FROM count_down_v1(_made, _partitions, _credits);
    END IF;
    RETURN QUERY
    WITH ended AS (
        SELECT d.session, string_agg(d.id::text, '","') AS ids FROM unnest(_done, _done_sessions) AS d(id, session) GROUP BY 1
    ), made AS (
        SELECT m.session, string_agg(m.id::text, '","') AS ids FROM unnest(_made, _made_sessions) AS m(id, session) GROUP BY 1
    ), frame AS (
        INSERT INTO outbox (subject, body)
        SELECT 'hr.evt.task.changed.' || ended.session, convert_to('{"session":"' || ended.session || '","completed":["'
            || ended.ids || '"]' || coalesce(',"results":["' || made.ids || '"]', '') || '}', 'UTF8')
        FROM ended LEFT JOIN made USING (session)
        RETURNING outbox.id, outbox.subject, outbox.body
    )
    SELECT 4::smallint, NULL::uuid, NULL::uuid, NULL::smallint, NULL::smallint, NULL::smallint, NULL::real, NULL::text,
           f.body, NULL::uuid, NULL::uuid[], NULL::uuid[], f.id, f.subject FROM frame f;
END $$;

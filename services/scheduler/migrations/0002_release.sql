-- Release: what happens when tasks end. Functions, because each statement of a VOLATILE function sees what was committed
-- when it began: the count-down below must see the edges of a submission that held our results while we waited for them
-- (a single statement would not, and its tasks would wait for ever), and it is one round trip.
--
-- Locks are taken in this order everywhere: tasks that end, results, dependents; each in the order of ids.

CREATE TYPE released AS (
    kind smallint,           -- 1 tasks ended, 3 task to dispatch, 4 event, 5 result aborted, 6 task failed
    id uuid,
    session uuid,
    partition smallint,
    priority smallint,
    attempt smallint,
    max_duration real,
    function text,
    payload bytea,
    payload_result uuid,
    inputs uuid[],
    outputs uuid[],
    number bigint,           -- kind 1: how many; kind 4: the outbox row
    subject text
);

-- Counts down those who wait for `_results`. Those at zero are chosen in the same write if there is credit for all that
-- could be (kind 3); otherwise `choose_v1` shares it out.
CREATE FUNCTION count_down_v1(_results uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _least integer := coalesce((SELECT min(c) FROM unnest(_credits) AS c), 0);
    _row released;
    _ready uuid[];
BEGIN
    FOR _row IN
        WITH met AS MATERIALIZED (
            SELECT d.task, count(*)::integer AS k FROM dependencies d
            WHERE d.result = ANY(_results) GROUP BY d.task ORDER BY d.task
        ), locked AS MATERIALIZED (
            SELECT t.id, m.k FROM met m JOIN tasks t ON t.id = m.task ORDER BY t.id FOR UPDATE OF t
        ), counted AS (
            UPDATE tasks t SET remaining = t.remaining - l.k, status = CASE
                WHEN t.remaining = l.k AND t.status = 2 AND t.partition = ANY(_partitions)
                    AND _least >= (SELECT count(*) FROM met)
                    AND EXISTS (SELECT 1 FROM sessions s WHERE s.id = t.session AND s.status = 1) THEN 3
                ELSE t.status END
            FROM locked l WHERE t.id = l.id RETURNING t.*
        )
        SELECT CASE status WHEN 3 THEN 3 ELSE 0 END, c.id, c.session, c.partition, c.priority, c.attempt, c.max_duration,
            c.function, c.payload, c.payload_result, c.inputs, c.outputs, NULL, NULL
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

-- Chooses ready tasks while there is credit, most urgent first; the others go to `ready`.
CREATE FUNCTION choose_v1(_ready uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _chosen uuid[];
BEGIN
    WITH turn AS (
        SELECT t.id, t.partition, t.priority, t.session,
               row_number() OVER (PARTITION BY t.partition ORDER BY t.priority DESC, t.id) AS place
        FROM tasks t WHERE t.id = ANY(_ready) AND t.session IN (SELECT s.id FROM sessions s WHERE s.status = 1)
    ), judged AS (
        SELECT turn.*, place <= coalesce(c.credit, 0) AS chosen
        FROM turn LEFT JOIN unnest(_partitions, _credits) AS c(partition, credit) USING (partition)
    ), waiting AS (
        INSERT INTO ready (partition, priority, session, task)
        SELECT partition, priority, session, id FROM judged WHERE NOT chosen ON CONFLICT DO NOTHING
    )
    SELECT array_agg(id) INTO _chosen FROM judged WHERE chosen;
    IF _chosen IS NOT NULL THEN
        RETURN QUERY UPDATE tasks t SET status = 3 WHERE t.id = ANY(_chosen) AND t.status = 2
        RETURNING 3::smallint, t.id, t.session, t.partition, t.priority, t.attempt, t.max_duration, t.function, t.payload,
                  t.payload_result, t.inputs, t.outputs, NULL::bigint, NULL::text;
    END IF;
END $$;

-- One batch of completed tasks with their outputs. Returns how many ended by partition and function (kind 1: `number` of
-- them, and one of them), those to dispatch (3) and the frames of the sessions touched (4).
--
-- Joins go from an argument to a table by its primary key, never between two arguments: nobody tells the planner how long
-- those are.
CREATE FUNCTION complete_v1(
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
    -- Those that ended in this transaction are known by its time; the result's own state is the guard all the same.
    WITH made AS (
        UPDATE results r SET status = 2, size = o.size, data = o.data, object = o.object, completed_at = now()
        FROM unnest(_ids, _owners, _sizes, _data, _objects) AS o(id, owner, size, data, object)
        JOIN tasks t ON t.id = o.owner AND t.status = 6 AND t.ended_at = now()
        WHERE r.id = o.id AND r.owner = o.owner AND r.status = 1
        RETURNING r.id, r.session
    )
    SELECT array_agg(id), array_agg(session) INTO _made, _made_sessions FROM made;
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

-- Tasks that end without their outputs: their results are aborted, and so is everything that waits for those.
-- Returns what ended (kind 6, `subject` holds the reason) and what was aborted (kind 5).
CREATE FUNCTION fail_v1(_tasks uuid[], _attempts smallint[], _statuses smallint[], _errors text[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _ended released[];
    _results uuid[];
BEGIN
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest(_tasks, _attempts, _statuses, _errors) AS u(id, attempt, status, error) ORDER BY id
    ), ended AS (
        UPDATE tasks t SET status = told.status, error = told.error, ended_at = now() FROM told
        WHERE t.id = told.id AND t.attempt = told.attempt AND t.status IN (1, 2, 3, 4, 5, 10)
        RETURNING t.id, t.session, t.partition, t.status, t.outputs
    )
    SELECT array_agg(ROW(6, id, session, partition, NULL, status, NULL, NULL, NULL, NULL, NULL, outputs, NULL, NULL)::released)
    INTO _ended FROM ended;
    IF _ended IS NULL THEN
        RETURN;
    END IF;
    LOOP
        RETURN QUERY SELECT * FROM unnest(_ended);
        DELETE FROM running WHERE task IN (SELECT e.id FROM unnest(_ended) e);
        DELETE FROM ready r USING unnest(_ended) e
        WHERE r.task = e.id AND r.session = e.session AND r.partition = e.partition;
        WITH gone AS (
            UPDATE results r SET status = 3, completed_at = now()
            WHERE r.id IN (SELECT unnest(e.outputs) FROM unnest(_ended) e) AND r.status = 1
            RETURNING r.id, r.session
        )
        SELECT array_agg(id) INTO _results FROM gone;
        EXIT WHEN _results IS NULL;
        RETURN QUERY SELECT 5::smallint, r.id, r.session, NULL::smallint, NULL::smallint, NULL::smallint, NULL::real,
            NULL::text, NULL::bytea, NULL::uuid, NULL::uuid[], NULL::uuid[], NULL::bigint, NULL::text
            FROM results r WHERE r.id = ANY(_results);
        WITH waiting AS MATERIALIZED (
            SELECT DISTINCT d.task FROM dependencies d WHERE d.result = ANY(_results) ORDER BY d.task
        ), ended AS (
            UPDATE tasks t SET status = 7, error = 'a result that it needs was aborted', ended_at = now() FROM waiting w
            WHERE t.id = w.task AND t.status IN (1, 2)
            RETURNING t.id, t.session, t.partition, t.status, t.outputs
        )
        SELECT array_agg(ROW(6, id, session, partition, NULL, status, NULL, NULL, NULL, NULL, NULL, outputs, NULL, NULL)::released)
        INTO _ended FROM ended;
        EXIT WHEN _ended IS NULL;
    END LOOP;
END $$;

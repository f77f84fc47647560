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
        UPDATE tasks t SET status = {task.completed}, ended_at = now() FROM told
        WHERE t.id = told.id AND t.attempt = told.attempt AND t.status IN ({task.open}) AND t.remaining = 0
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
            UPDATE results r SET status = {result.completed}, size = o.size, data = o.data, object = o.object, completed_at = now()
            FROM unnest(_ids, _owners, _sizes, _data, _objects) AS o(id, owner, size, data, object)
            WHERE r.id = o.id AND r.owner = o.owner AND r.status = {result.created}
            RETURNING r.id, r.session
        )
        SELECT array_agg(id), array_agg(session) INTO _made, _made_sessions FROM made;
    ELSE -- those that ended in this transaction are known by its time
        WITH made AS (
            UPDATE results r SET status = {result.completed}, size = o.size, data = o.data, object = o.object, completed_at = now()
            FROM unnest(_ids, _owners, _sizes, _data, _objects) AS o(id, owner, size, data, object)
            JOIN tasks t ON t.id = o.owner AND t.status = {task.completed} AND t.ended_at = now()
            WHERE r.id = o.id AND r.owner = o.owner AND r.status = {result.created}
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

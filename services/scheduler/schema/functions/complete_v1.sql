-- One batch of completed tasks with their outputs. Returns how many ended by partition and function ('ended'), those to dispatch
-- ('chosen') and an event for each session touched ('event'); nothing of tasks whose report does not count.
-- Raises data_exception if outputs are missing or are others: the caller finds out which report it is.
--
-- `_tasks`, `_attempts`, `_counts`: the tasks, and how many outputs each reports. `_ids`, `_owners` and the next three: those outputs,
-- and which task each is of. `_partitions`, `_credits`: as in `count_down_v1`.
--
-- Locks are taken in this order everywhere: tasks that end, results, session, dependents; each in the order of ids.
-- Joins go from an argument to a table by its primary key, never between two arguments: the planner does not know how long
-- those are (docs/adr/0005-release-functions.md).
CREATE OR REPLACE FUNCTION complete_v1(
    _tasks uuid[], _attempts smallint[], _counts smallint[],
    _ids uuid[], _owners uuid[], _sizes bigint[], _data bytea[], _objects text[],
    _partitions smallint[], _credits integer[]
) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _done uuid[];
    _done_sessions uuid[];
    _done_partitions smallint[];
    _done_functions text[];
    _expected bigint;
    _made uuid[];
    _made_sessions uuid[];
    _of record;
    _event outbox;
BEGIN
    WITH reported AS MATERIALIZED (
        SELECT * FROM unnest(_tasks, _attempts, _counts) AS u(id, attempt, outputs) ORDER BY id
    ), done AS (
        UPDATE tasks t SET status = {task.completed}, ended_at = now() FROM reported
        WHERE t.id = reported.id AND t.attempt = reported.attempt AND t.status IN ({task.open}) AND t.remaining = 0
          AND cardinality(t.outputs) = reported.outputs
        RETURNING t.id, t.session, t.partition, t.function, reported.outputs
    )
    SELECT array_agg(id), array_agg(session), array_agg(partition), array_agg(function), sum(outputs)
    INTO _done, _done_sessions, _done_partitions, _done_functions, _expected FROM done;
    IF _done IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT 1 FROM running) THEN
        DELETE FROM running r WHERE r.task = ANY(_done);
    END IF;
    -- The result's own state and owner are the guard. Owners are looked up only if some of the reports do not count.
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
    IF coalesce(cardinality(_made), 0) <> _expected THEN
        RAISE data_exception USING MESSAGE = 'the outputs reported are not the outputs of their task';
    END IF;

    FOR _of IN
        SELECT (array_agg(d.id))[1] AS example, d.partition, d.function, count(*) AS tasks
        FROM unnest(_done, _done_partitions, _done_functions) AS d(id, partition, function) GROUP BY d.partition, d.function
    LOOP
        RETURN NEXT effect_ended_v1(_of.example, _of.partition, _of.function, _of.tasks);
    END LOOP;
    IF _made IS NOT NULL THEN
        RETURN QUERY SELECT * FROM count_down_v1(_made, _partitions, _credits);
    END IF;
    FOR _of IN
        WITH ended AS (
            SELECT d.session, array_agg(d.id) AS tasks FROM unnest(_done, _done_sessions) AS d(id, session) GROUP BY 1
        ), made AS (
            SELECT m.session, array_agg(m.id) AS results FROM unnest(_made, _made_sessions) AS m(id, session) GROUP BY 1
        )
        SELECT ended.session, ended.tasks, made.results FROM ended LEFT JOIN made USING (session)
    LOOP
        _event := emit_task_changed_v1(_of.session, _of.tasks, _of.results);
        RETURN NEXT effect_event_v1(_event);
    END LOOP;
END $$;

-- Chooses ready tasks while there is credit, most urgent first; the others go to `ready`, as do those of a paused session.
-- The caller holds the sessions' rows. `_partitions`, `_credits`: as in `count_down_v1`.
CREATE OR REPLACE FUNCTION choose_v1(_ready uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _chosen uuid[];
BEGIN
    WITH turn AS (
        SELECT t.id, t.partition, t.priority, t.session, s.status = {session.running} AS runs,
               row_number() OVER (PARTITION BY t.partition, s.status ORDER BY t.priority DESC, t.id) AS place
        FROM tasks t JOIN sessions s ON s.id = t.session WHERE t.id = ANY(_ready) AND s.status IN ({session.open})
    ), judged AS (
        SELECT turn.*, runs AND place <= coalesce(c.credit, 0) AS chosen
        FROM turn LEFT JOIN unnest(_partitions, _credits) AS c(partition, credit) USING (partition)
    ), waiting AS (
        INSERT INTO ready (partition, priority, session, task)
        SELECT partition, priority, session, id FROM judged WHERE NOT chosen ON CONFLICT DO NOTHING
    )
    SELECT array_agg(id) INTO _chosen FROM judged WHERE chosen;
    IF _chosen IS NOT NULL THEN
        RETURN QUERY UPDATE tasks t SET status = {task.submitted} WHERE t.id = ANY(_chosen) AND t.status = {task.pending}
        RETURNING 'chosen', t.id, t.session, t.partition, t.priority, t.attempt,
                  (SELECT s.epoch FROM sessions s WHERE s.id = t.session), t.max_duration, t.function, t.payload,
                  t.payload_result, t.inputs, t.outputs, NULL::bigint, NULL::bigint, NULL::text, NULL::bytea;
    END IF;
END $$;

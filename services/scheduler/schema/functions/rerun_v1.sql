-- Tasks that ended badly get another attempt, and with them those that ended only because of them (they never had all their
-- inputs: ERROR with `remaining`). Those whose needs can never come stay as they are. Returns those that wait anew ('again';
-- `attempt` is the new one), and those chosen at once ('chosen').
--
-- While it runs, CREATING marks the tasks it has taken: nobody else sees that.
CREATE OR REPLACE FUNCTION rerun_v1(_session uuid, _tasks uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _all uuid[];
    _was smallint[]; -- how each of `_all` had ended
    _new uuid[];
    _ended smallint[];
    _ready uuid[];
BEGIN
    PERFORM 1 FROM sessions s WHERE s.id = _session FOR SHARE;
    _new := _tasks;
    LOOP
        WITH locked AS MATERIALIZED (
            SELECT t.id, t.status FROM tasks t WHERE t.id = ANY(_new) AND t.session = _session AND t.status IN ({task.rerunnable})
            ORDER BY t.id FOR UPDATE
        ), taken AS (
            UPDATE tasks t SET status = {task.creating} FROM locked l WHERE t.id = l.id RETURNING t.id, l.status
        )
        SELECT array_agg(id), array_agg(status) INTO _new, _ended FROM taken;
        EXIT WHEN _new IS NULL;
        _all := _all || _new;
        _was := _was || _ended;
        SELECT array_agg(DISTINCT t.id) INTO _new
        FROM tasks o CROSS JOIN unnest(o.outputs) AS made(result)
        JOIN dependencies d ON d.result = made.result JOIN tasks t ON t.id = d.task
        WHERE o.id = ANY(_new) AND t.status = {task.error} AND t.remaining > 0;
        EXIT WHEN _new IS NULL;
    END LOOP;
    IF _all IS NULL THEN
        RETURN;
    END IF;
    LOOP -- one that is left out may leave out others
        WITH hopeless AS (
            SELECT DISTINCT t.id FROM tasks t CROSS JOIN unnest(t.inputs || t.payload_result) AS need(result)
            JOIN results r ON r.id = need.result LEFT JOIN tasks o ON o.id = r.owner
            WHERE t.id = ANY(_all) AND t.status = {task.creating} AND (r.status = {result.deleted}
                OR (r.status = {result.aborted} AND o.status IS DISTINCT FROM {task.creating}))
            UNION -- nor can what it makes, if somebody has deleted that
            SELECT t.id FROM tasks t CROSS JOIN unnest(t.outputs) AS made(result) JOIN results r ON r.id = made.result
            WHERE t.id = ANY(_all) AND t.status = {task.creating} AND r.status = {result.deleted}
        )
        UPDATE tasks t SET status = w.status FROM hopeless h JOIN unnest(_all, _was) AS w(id, status) USING (id)
        WHERE t.id = h.id;
        EXIT WHEN NOT FOUND;
    END LOOP;
    UPDATE results r SET status = {result.created}, completed_at = NULL
    FROM (SELECT unnest(t.outputs) AS id FROM tasks t WHERE t.id = ANY(_all) AND t.status = {task.creating}) AS o
    WHERE r.id = o.id AND r.status = {result.aborted};
    INSERT INTO attempts (task, attempt, worker, error, status, started_at, ended_at)
    SELECT t.id, t.attempt, coalesce(t.worker, ''), coalesce(t.error, ''), w.status, t.started_at, coalesce(t.ended_at, now())
    FROM unnest(_all, _was) AS w(id, status) JOIN tasks t ON t.id = w.id WHERE t.status = {task.creating} ON CONFLICT DO NOTHING;
    RETURN QUERY UPDATE tasks t SET status = {task.pending}, attempt = t.attempt + 1, uncounted = t.attempt + 1, worker = NULL,
        error = NULL, started_at = NULL, ended_at = NULL,
        remaining = (SELECT count(DISTINCT r.id) FROM unnest(t.inputs || t.payload_result) AS need(result)
                     JOIN results r ON r.id = need.result AND r.status <> {result.completed})
    WHERE t.id = ANY(_all) AND t.status = {task.creating}
    RETURNING 'again', t.id, t.session, t.partition, t.priority, t.attempt, NULL::integer, NULL::real, NULL::text, NULL::bytea,
              NULL::uuid, NULL::uuid[], NULL::uuid[], NULL::bigint, NULL::bigint, NULL::text, NULL::bytea;
    SELECT array_agg(t.id) INTO _ready FROM tasks t WHERE t.id = ANY(_all) AND t.status = {task.pending} AND t.remaining = 0;
    IF _ready IS NOT NULL THEN
        RETURN QUERY SELECT * FROM choose_v1(_ready, _partitions, _credits);
    END IF;
END $$;

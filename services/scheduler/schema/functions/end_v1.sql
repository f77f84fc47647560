-- Tasks that end without their outputs, with all that waits for those: their results are aborted, and who needs one of these ends
-- as ERROR, and so on. Returns what has ended ('failed'), what is stopping ('stopping') and which results were aborted ('aborted').
--
-- `_statuses`: in what state each is to end. `_attempts`: an attempt that is NULL means whichever it is. A task that is to be
-- CANCELLED while a worker is known to hold it becomes CANCELLING, and stays with its worker. Locks in the order of `complete_v1`.
CREATE OR REPLACE FUNCTION end_v1(_tasks uuid[], _attempts smallint[], _statuses smallint[], _errors text[])
RETURNS SETOF ending
LANGUAGE plpgsql AS $$
DECLARE
    _ended ending[];
    _results uuid[];
BEGIN
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(_tasks, _attempts, _statuses, _errors) AS u(id, attempt, status, error) ORDER BY id
    ), ended AS (
        UPDATE tasks t SET error = asked.error,
            status = CASE WHEN asked.status = {task.cancelled} AND t.status IN ({task.held}) THEN {task.cancelling}
                ELSE asked.status END,
            ended_at = CASE WHEN asked.status = {task.cancelled} AND t.status IN ({task.held}) THEN NULL ELSE now() END
        FROM asked
        WHERE t.id = asked.id AND t.attempt = coalesce(asked.attempt, t.attempt) AND t.status IN ({task.failable})
        RETURNING t.id, t.session, t.partition, t.status, t.outputs
    )
    SELECT array_agg(ROW(CASE status WHEN {task.cancelling} THEN 'stopping' ELSE 'failed' END,
                         id, session, partition, outputs)::ending)
    INTO _ended FROM ended;
    IF _ended IS NULL THEN
        RETURN;
    END IF;
    LOOP
        RETURN QUERY SELECT * FROM unnest(_ended);
        DELETE FROM running WHERE task IN (SELECT e.id FROM unnest(_ended) e WHERE e.kind = 'failed');
        DELETE FROM ready r USING unnest(_ended) e
        WHERE r.task = e.id AND r.session = e.session AND r.partition = e.partition;
        WITH gone AS (
            UPDATE results r SET status = {result.aborted}, completed_at = now()
            WHERE r.id IN (SELECT unnest(e.outputs) FROM unnest(_ended) e) AND r.status = {result.created}
            RETURNING r.id
        )
        SELECT array_agg(id) INTO _results FROM gone;
        EXIT WHEN _results IS NULL;
        RETURN QUERY SELECT 'aborted', r.id, r.session, NULL::smallint, NULL::uuid[] FROM results r WHERE r.id = ANY(_results);
        WITH waiting AS MATERIALIZED (
            SELECT DISTINCT ON (d.task) d.task, d.result, r.owner
            FROM dependencies d JOIN results r ON r.id = d.result WHERE d.result = ANY(_results) ORDER BY d.task, d.result
        ), ended AS (
            UPDATE tasks t SET status = {task.error}, ended_at = now(),
                error = format('it needs result %s, which was aborted because of task %s', w.result, w.owner)
            FROM waiting w
            WHERE t.id = w.task AND t.status IN ({task.waiting})
            RETURNING t.id, t.session, t.partition, t.outputs
        )
        SELECT array_agg(ROW('failed', id, session, partition, outputs)::ending) INTO _ended FROM ended;
        EXIT WHEN _ended IS NULL;
    END LOOP;
END $$;

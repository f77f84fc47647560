-- As fail_v1, which stays for schedulers of before: tasks that end without their outputs, with all that waits for those.
-- An attempt that is NULL means whichever it is. A task that is to be cancelled (12) while a worker is known to hold it
-- becomes CANCELLING (11), and stays with its worker. Returns what ended (kind 6), what is stopping (7), what was aborted (5).
-- Replaced in place: as in 0005, but the error of a task that waited says which result was aborted, and because of which task.
CREATE OR REPLACE FUNCTION end_v1(_tasks uuid[], _attempts smallint[], _statuses smallint[], _errors text[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _ended released[];
    _results uuid[];
BEGIN
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest(_tasks, _attempts, _statuses, _errors) AS u(id, attempt, status, error) ORDER BY id
    ), ended AS (
        UPDATE tasks t SET error = told.error,
            status = CASE WHEN told.status = {task.cancelled} AND t.status IN ({task.held}) THEN {task.cancelling} ELSE told.status END,
            ended_at = CASE WHEN told.status = {task.cancelled} AND t.status IN ({task.held}) THEN NULL ELSE now() END
        FROM told
        WHERE t.id = told.id AND t.attempt = coalesce(told.attempt, t.attempt) AND t.status IN ({task.failable})
        RETURNING t.id, t.session, t.partition, t.status, t.attempt, t.outputs
    )
    SELECT array_agg(ROW(CASE status WHEN {task.cancelling} THEN 7 ELSE 6 END, id, session, partition, NULL, status, NULL, NULL, NULL, NULL,
                         NULL, outputs, attempt, NULL)::released)
    INTO _ended FROM ended;
    IF _ended IS NULL THEN
        RETURN;
    END IF;
    LOOP
        RETURN QUERY SELECT * FROM unnest(_ended);
        DELETE FROM running WHERE task IN (SELECT e.id FROM unnest(_ended) e WHERE e.kind = 6);
        DELETE FROM ready r USING unnest(_ended) e
        WHERE r.task = e.id AND r.session = e.session AND r.partition = e.partition;
        WITH gone AS (
            UPDATE results r SET status = {result.aborted}, completed_at = now()
            WHERE r.id IN (SELECT unnest(e.outputs) FROM unnest(_ended) e) AND r.status = {result.created}
            RETURNING r.id, r.session
        )
        SELECT array_agg(id) INTO _results FROM gone;
        EXIT WHEN _results IS NULL;
        RETURN QUERY SELECT 5::smallint, r.id, r.session, NULL::smallint, NULL::smallint, NULL::smallint, NULL::real,
            NULL::text, NULL::bytea, NULL::uuid, NULL::uuid[], NULL::uuid[], NULL::bigint, NULL::text
            FROM results r WHERE r.id = ANY(_results);
        WITH waiting AS MATERIALIZED (
            SELECT DISTINCT ON (d.task) d.task, d.result, r.owner
            FROM dependencies d JOIN results r ON r.id = d.result WHERE d.result = ANY(_results) ORDER BY d.task, d.result
        ), ended AS (
            UPDATE tasks t SET status = {task.error}, ended_at = now(),
                error = format('it needs result %s, which was aborted because of task %s', w.result, w.owner)
            FROM waiting w
            WHERE t.id = w.task AND t.status IN ({task.waiting})
            RETURNING t.id, t.session, t.partition, t.status, t.outputs
        )
        SELECT array_agg(ROW(6, id, session, partition, NULL, status, NULL, NULL, NULL, NULL, NULL, outputs, NULL, NULL)::released)
        INTO _ended FROM ended;
        EXIT WHEN _ended IS NULL;
    END LOOP;
END $$;

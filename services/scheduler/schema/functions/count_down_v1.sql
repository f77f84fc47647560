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
    SELECT array_agg(s.id), array_agg(s.epoch), array_agg(s.id) FILTER (WHERE s.status = {session.running}) INTO _sessions, _epochs, _running
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
                WHEN t.remaining = l.k AND t.status = {task.pending} AND t.partition = ANY(_roomy) AND t.session = ANY(_running) THEN {task.submitted}
                ELSE t.status END
            FROM locked l WHERE t.id = l.id RETURNING t.*
        )
        SELECT CASE c.status WHEN {task.submitted} THEN 3 ELSE 0 END, c.id, c.session, c.partition, c.priority, c.attempt, c.max_duration,
            c.function, c.payload, c.payload_result, c.inputs, c.outputs, _epochs[array_position(_sessions, c.session)], NULL
        FROM counted c WHERE c.remaining = 0 AND c.status IN ({task.queued})
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

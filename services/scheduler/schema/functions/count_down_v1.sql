-- Counts down those who wait for results that have their values now. Who has nothing to wait for any more is chosen in the same
-- write if there is credit in its partition for all that could be; the others `choose_v1` shares it out to.
--
-- `_partitions`, `_credits`: how many tasks of which partitions may be chosen; those of others go to `ready`.
-- The results and those who wait for them are of one session, whose row is locked (shared): a pause that has committed is seen, and
-- one that commits later finds in the rows what was chosen before. Edges are read by a statement that begins after the results'
-- rows were written, so that none is missed (docs/adr/0005-release-functions.md).
CREATE OR REPLACE FUNCTION count_down_v1(_results uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _tasks uuid[];
    _counts integer[];   -- of each of `_tasks`: how many of the results it waits for
    _sessions uuid[];
    _epochs integer[];
    _running uuid[];     -- those of `_sessions` that run
    _roomy smallint[];   -- partitions with credit for all of `_tasks`
    _effect effect;
    _ready uuid[];
BEGIN
    SELECT array_agg(m.task), array_agg(m.k) INTO _tasks, _counts FROM (
        SELECT d.task, count(*)::integer AS k FROM dependencies d WHERE d.result = ANY(_results) GROUP BY d.task ORDER BY d.task
    ) AS m;
    IF _tasks IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(s.id), array_agg(s.epoch), array_agg(s.id) FILTER (WHERE s.status = {session.running})
    INTO _sessions, _epochs, _running
    FROM (
        SELECT id, epoch, status FROM sessions WHERE id IN (SELECT t.session FROM tasks t WHERE t.id = ANY(_tasks))
        ORDER BY id FOR SHARE
    ) AS s;
    _roomy := ARRAY(SELECT c.partition FROM unnest(_partitions, _credits) AS c(partition, credit)
                    WHERE c.credit >= cardinality(_tasks));
    FOR _effect IN
        WITH locked AS MATERIALIZED (
            SELECT t.id, m.k FROM unnest(_tasks, _counts) AS m(task, k) JOIN tasks t ON t.id = m.task
            ORDER BY t.id FOR UPDATE OF t
        ), counted AS (
            UPDATE tasks t SET remaining = t.remaining - l.k, status = CASE
                WHEN t.remaining = l.k AND t.status = {task.pending} AND t.partition = ANY(_roomy)
                    AND t.session = ANY(_running) THEN {task.submitted}
                ELSE t.status END
            FROM locked l WHERE t.id = l.id RETURNING t.*
        )
        SELECT CASE c.status WHEN {task.submitted} THEN 'chosen' END, c.id, c.session, c.partition, c.priority, c.attempt,
            _epochs[array_position(_sessions, c.session)], c.max_duration, c.function, c.payload, c.payload_result,
            c.inputs, c.outputs, NULL, NULL, NULL, NULL
        FROM counted c WHERE c.remaining = 0 AND c.status IN ({task.queued})
    LOOP
        IF _effect.kind = 'chosen' THEN
            RETURN NEXT _effect;
        ELSE
            _ready := _ready || _effect.id;
        END IF;
    END LOOP;
    IF _ready IS NOT NULL THEN
        RETURN QUERY SELECT * FROM choose_v1(_ready, _partitions, _credits);
    END IF;
END $$;

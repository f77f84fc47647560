-- What changes a session's state, and what follows from it.

ALTER TABLE sessions
    ADD COLUMN owed boolean NOT NULL DEFAULT false, -- what its last change of state entails is not all done (see duties.py)
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN purged_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN operation uuid,                      -- the chain that purges or deletes it
    ADD COLUMN deleting boolean NOT NULL DEFAULT false;
CREATE INDEX sessions_owed ON sessions (changed_at) WHERE owed;
CREATE INDEX sessions_expiring ON sessions (expires_at) WHERE expires_at IS NOT NULL AND NOT deleting;
-- A close that was interrupted was found by its submissions until now.
UPDATE sessions SET owed = true WHERE status = 3;

-- Attempts that do not count against max_retries.
ALTER TABLE tasks ADD COLUMN uncounted smallint NOT NULL DEFAULT 0;

-- Whoever chooses tasks holds their session's row (shared): a pause that has committed is seen, and one that commits later
-- finds in the rows what was chosen before. The order of locks: tasks that end, results, session, dependents.
--
-- Results and those who wait for them are of one session. With a task that was chosen (kind 3) comes its session's epoch, as
-- `number`: what is taken back later is known by it.
CREATE OR REPLACE FUNCTION count_down_v1(_results uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _least integer := coalesce((SELECT min(c) FROM unnest(_credits) AS c), 0);
    _row released;
    _ready uuid[];
BEGIN
    IF NOT EXISTS (SELECT 1 FROM dependencies d WHERE d.result = ANY(_results)) THEN
        RETURN;
    END IF;
    PERFORM 1 FROM sessions s WHERE s.id IN (SELECT r.session FROM results r WHERE r.id = ANY(_results))
    ORDER BY s.id FOR SHARE;
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
            c.function, c.payload, c.payload_result, c.inputs, c.outputs,
            (SELECT s.epoch FROM sessions s WHERE s.id = c.session), NULL
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

-- Chooses ready tasks while there is credit, most urgent first; the others go to `ready`, as do those of a paused session.
-- The caller holds the sessions' rows.
CREATE OR REPLACE FUNCTION choose_v1(_ready uuid[], _partitions smallint[], _credits integer[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _chosen uuid[];
BEGIN
    WITH turn AS (
        SELECT t.id, t.partition, t.priority, t.session, s.status = 1 AS runs,
               row_number() OVER (PARTITION BY t.partition, s.status ORDER BY t.priority DESC, t.id) AS place
        FROM tasks t JOIN sessions s ON s.id = t.session WHERE t.id = ANY(_ready) AND s.status IN (1, 2)
    ), judged AS (
        SELECT turn.*, runs AND place <= coalesce(c.credit, 0) AS chosen
        FROM turn LEFT JOIN unnest(_partitions, _credits) AS c(partition, credit) USING (partition)
    ), waiting AS (
        INSERT INTO ready (partition, priority, session, task)
        SELECT partition, priority, session, id FROM judged WHERE NOT chosen ON CONFLICT DO NOTHING
    )
    SELECT array_agg(id) INTO _chosen FROM judged WHERE chosen;
    IF _chosen IS NOT NULL THEN
        RETURN QUERY UPDATE tasks t SET status = 3 WHERE t.id = ANY(_chosen) AND t.status = 2
        RETURNING 3::smallint, t.id, t.session, t.partition, t.priority, t.attempt, t.max_duration, t.function, t.payload,
                  t.payload_result, t.inputs, t.outputs, (SELECT s.epoch::bigint FROM sessions s WHERE s.id = t.session),
                  NULL::text;
    END IF;
END $$;

-- As fail_v1, which stays for schedulers of before: tasks that end without their outputs, with all that waits for those.
-- An attempt that is NULL means whichever it is. A task that is to be cancelled (12) while a worker is known to hold it
-- becomes CANCELLING (11), and stays with its worker. Returns what ended (kind 6), what is stopping (7), what was aborted (5).
CREATE FUNCTION end_v1(_tasks uuid[], _attempts smallint[], _statuses smallint[], _errors text[]) RETURNS SETOF released
LANGUAGE plpgsql AS $$
DECLARE
    _ended released[];
    _results uuid[];
BEGIN
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest(_tasks, _attempts, _statuses, _errors) AS u(id, attempt, status, error) ORDER BY id
    ), ended AS (
        UPDATE tasks t SET error = told.error,
            status = CASE WHEN told.status = 12 AND t.status IN (4, 5) THEN 11 ELSE told.status END,
            ended_at = CASE WHEN told.status = 12 AND t.status IN (4, 5) THEN NULL ELSE now() END
        FROM told
        WHERE t.id = told.id AND t.attempt = coalesce(told.attempt, t.attempt) AND t.status IN (1, 2, 3, 4, 5, 10)
        RETURNING t.id, t.session, t.partition, t.status, t.attempt, t.outputs
    )
    SELECT array_agg(ROW(CASE status WHEN 11 THEN 7 ELSE 6 END, id, session, partition, NULL, status, NULL, NULL, NULL, NULL,
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

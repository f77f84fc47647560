-- Sessions

-- name: create_session
INSERT INTO sessions (id, name, status, owner, partitions, options, created_at, expires_at, close_when_done)
VALUES ($1, $2, 1, $3, $4, $5, coalesce($6, now()), coalesce($6, now()) + make_interval(secs => $7), $8) RETURNING *;

-- name: session
SELECT * FROM sessions WHERE id = $1;

-- name: session_counts
-- Ready tasks below a lane's cursor count as queued, if the session runs ($2): they were chosen without a write.
-- One statement: a task that has completed is never counted without those that it submitted.
SELECT t.status, $2::boolean AND t.deps = 0 AND t.status = 2 AND t.attempt = 0
        AND ('x' || right(t.id::text, 8))::bit(32)::integer < coalesce(l.cursor, 0) AS chosen, count(*) AS tasks
FROM submissions s JOIN tasks t ON t.id >= s.id AND t.id <= (left(s.id::text, 28) || 'ffffffff')::uuid
LEFT JOIN lanes l ON l.submission = s.id AND l.partition = t.partition AND l.priority = t.priority
WHERE s.session = $1 AND s.status = 2 GROUP BY 1, 2;

-- name: lock_session
SELECT * FROM sessions WHERE id = $1 FOR UPDATE;

-- name: move_session
-- The guard: only from the states that the machine allows. Submissions end with RUNNING and PAUSED. What is chosen after a
-- resume is of another epoch than what a pause took back.
UPDATE sessions SET status = $2::smallint, version = version + 1, owed = $5, changed_at = coalesce($4, now()),
    epoch = CASE WHEN $2::smallint = 1 THEN epoch + 1 ELSE epoch END,
    client_submission = client_submission AND $2::smallint < 3, worker_submission = worker_submission AND $2::smallint < 3,
    closed_at = CASE WHEN $2::smallint = 3 THEN coalesce($4, now()) ELSE closed_at END,
    cancelled_at = CASE WHEN $2::smallint = 4 THEN coalesce($4, now()) ELSE cancelled_at END,
    purged_at = CASE WHEN $2::smallint = 5 THEN coalesce($4, now()) ELSE purged_at END
WHERE id = $1 AND status = ANY($3::smallint[]) RETURNING *;

-- name: closing
SELECT id FROM sessions WHERE id = ANY($1::uuid[]) AND close_when_done AND status = 1;

-- name: closing_after
SELECT id FROM sessions WHERE close_when_done AND status = 1 AND id > $1 ORDER BY id LIMIT $2;

-- name: close_done
-- The guard of a session that closes by itself; its row is locked, so nothing is submitted or run again meanwhile.
UPDATE sessions e SET status = 3, version = version + 1, changed_at = now(), closed_at = now(), closed_itself = true
WHERE id = $1 AND status = 1 AND close_when_done
  AND NOT EXISTS (SELECT 1 FROM submissions s WHERE s.session = e.id AND NOT s.settled)
  AND EXISTS (SELECT 1 FROM submissions s WHERE s.session = e.id AND s.status = 2)
RETURNING *;

-- name: reopen
UPDATE sessions SET status = 1, version = version + 1, changed_at = now(), closed_at = NULL, closed_itself = false
WHERE id = $1 AND status = 3 AND closed_itself AND operation IS NULL AND NOT deleting RETURNING *;

-- name: stop_submission
UPDATE sessions SET client_submission = client_submission AND NOT $2, worker_submission = worker_submission AND NOT $3,
    version = version + 1, changed_at = now() WHERE id = $1 RETURNING *;

-- name: lock_queue
-- One at a time takes back what is queued of a session, or lets it go on.
SELECT pg_advisory_xact_lock(hashtextextended('headrace.queue.' || $1::text, 0));

-- name: settle_session
-- What its last change of state entailed is done, unless it has changed again.
UPDATE sessions SET owed = false WHERE id = $1 AND version = $2;

-- name: owing
SELECT id FROM sessions WHERE owed AND changed_at < now() - make_interval(secs => $1) ORDER BY changed_at LIMIT 20;

-- name: expired
SELECT id FROM sessions WHERE expires_at < coalesce($1, now()) AND NOT deleting ORDER BY expires_at LIMIT 20;

-- name: begin_operation
UPDATE sessions SET operation = $2 WHERE id = $1 RETURNING *;

-- name: end_operation
UPDATE sessions SET operation = NULL WHERE id = $1 AND operation = $2;

-- name: mark_deleting
UPDATE sessions SET deleting = true WHERE id = $1;

-- name: delete_results
UPDATE results SET status = 4, data = NULL, object = NULL WHERE id IN (
    SELECT id FROM results WHERE id > $1 AND id <= $2 AND status <> 4 ORDER BY id LIMIT $3) RETURNING id, session;

-- name: delete_standalone
UPDATE results SET status = 4, data = NULL, object = NULL WHERE id IN (
    SELECT id FROM results WHERE session = $1 AND standalone AND id > $2 AND status <> 4 ORDER BY id LIMIT $3)
RETURNING id, session;

-- name: bound_tasks
-- The last of the first $3 after $1, up to $2; none if there are fewer.
SELECT id FROM tasks WHERE id > $1 AND id <= $2 ORDER BY id OFFSET $3 - 1 LIMIT 1;

-- name: bound_results
SELECT id FROM results WHERE id > $1 AND id <= $2 ORDER BY id OFFSET $3 - 1 LIMIT 1;

-- name: drop_task_slice
-- With all that is kept of them. Everything by ranges of ids: what has gone before is not looked at again. Returns how many of
-- them the windows count as outstanding, by partition.
WITH logs AS (
    DELETE FROM task_logs WHERE task > $1 AND task <= $2
), history AS (
    DELETE FROM attempts WHERE task > $1 AND task <= $2
), held AS (
    DELETE FROM running WHERE task > $1 AND task <= $2
), gone AS (
    DELETE FROM tasks WHERE id > $1 AND id <= $2
    RETURNING id, partition, priority, status, deps, attempt, inputs, payload_result
), edges AS (
    DELETE FROM dependencies d USING (
        SELECT id, unnest(inputs || payload_result) AS result FROM gone
        WHERE inputs IS NOT NULL OR payload_result IS NOT NULL) AS g
    WHERE d.result = g.result AND d.task = g.id
)
SELECT g.partition, count(*) AS tasks FROM gone g
LEFT JOIN lanes l ON l.submission = $3 AND l.partition = g.partition AND l.priority = g.priority
WHERE g.status = 3 OR (g.status = 2 AND g.deps = 0 AND g.attempt = 0
    AND ('x' || right(g.id::text, 8))::bit(32)::integer < coalesce(l.cursor, 0)) GROUP BY g.partition;

-- name: drop_result_slice
DELETE FROM results WHERE id > $1 AND id <= $2;

-- name: drop_standalone_slice
DELETE FROM results WHERE id IN (
    SELECT id FROM results WHERE session = $1 AND standalone AND id > $2 ORDER BY id LIMIT $3) RETURNING id;

-- name: drop_submission
DELETE FROM submissions WHERE id = $1;

-- name: drop_session
DELETE FROM sessions WHERE id = $1 RETURNING *;

-- name: cancel_slice
-- What has not begun ends here; what a worker is known to hold (4, 5), if that is among the states asked for, is stopping.
-- `chosen`: it has ended here and the windows count it as outstanding. At most $5 tasks, and about as many outputs.
WITH locked AS MATERIALIZED (
    SELECT id, status, deps, attempt, partition, priority, cardinality(outputs) AS outputs FROM tasks
    WHERE id >= $1 AND id <= $2 AND status = ANY($3::smallint[]) ORDER BY id LIMIT $5 FOR UPDATE
), picked AS MATERIALIZED (
    SELECT k.*, k.status = 3 OR (k.status = 2 AND k.deps = 0 AND k.attempt = 0
        AND ('x' || right(k.id::text, 8))::bit(32)::integer < coalesce(l.cursor, 0)) AS chosen
    FROM (SELECT locked.*, sum(outputs) OVER (ORDER BY id) - outputs AS before FROM locked) AS k
    LEFT JOIN lanes l ON l.submission = $6 AND l.partition = k.partition AND l.priority = k.priority
    WHERE k.before < $5
)
UPDATE tasks t SET error = $4, status = CASE WHEN p.status IN (4, 5) THEN 11 ELSE 12 END,
    ended_at = CASE WHEN p.status IN (4, 5) THEN NULL ELSE now() END
FROM picked p WHERE t.id = p.id
RETURNING t.id, t.status, p.partition, p.chosen;

-- name: lock_tasks
SELECT id, session, status, deps, attempt, remaining, partition, priority FROM tasks t
WHERE id = ANY($1::uuid[]) AND session = $2 AND NOT (t.parent IS NOT NULL AND unborn_v1(t.id)) ORDER BY id FOR UPDATE OF t;

-- name: stopped
-- CANCELLING tasks whose worker has stopped them, or is gone.
WITH over AS (
    UPDATE tasks t SET status = 12, ended_at = now() FROM unnest($1::uuid[], $2::smallint[]) AS l(id, attempt)
    WHERE t.id = l.id AND t.attempt = l.attempt AND t.status = 11 RETURNING t.id, t.session, t.partition
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM over)
)
SELECT id, session, partition FROM over;

-- name: held_of
SELECT count(*) FROM running r JOIN tasks t ON t.id = r.task WHERE t.session = $1;

-- name: stop_held
-- What workers are known to hold of a session, CANCELLING already or from now on.
UPDATE tasks t SET status = 11, error = $2, ended_at = NULL FROM running r
WHERE r.task = t.id AND t.session = $1 AND t.status IN (4, 5, 11) RETURNING t.id, t.attempt, t.outputs;

-- name: failed_of
SELECT id FROM tasks WHERE id > $1 AND id <= $2 AND status = ANY($3::smallint[]) ORDER BY id LIMIT $4;

-- name: hold_needs
-- What those that are to run again need, and those that failed because of them: who aborts or deletes one of these does it
-- before, and is seen, or finds them waiting afterwards.
WITH RECURSIVE again(task) AS (
    SELECT id FROM tasks WHERE id = ANY($2::uuid[]) AND session = $1 AND status IN (7, 8, 12)
    UNION
    SELECT t.id FROM again a JOIN tasks o ON o.id = a.task CROSS JOIN unnest(o.outputs) AS made(result)
    JOIN dependencies d ON d.result = made.result JOIN tasks t ON t.id = d.task
    WHERE t.status = 7 AND t.remaining > 0
)
SELECT r.id FROM results r WHERE r.status IN (1, 2) AND r.id IN (
    SELECT need.result FROM again a JOIN tasks t ON t.id = a.task
    CROSS JOIN unnest(t.inputs || t.payload_result) AS need(result))
ORDER BY r.id FOR SHARE OF r;

-- name: rerun
SELECT *, number AS epoch FROM rerun_v1($1, $2, $3, $4);

-- name: hindrances
-- Why tasks cannot run again: of each the first result that it needs, or makes, and that cannot come.
SELECT t.id, t.status, r.id AS result, r.status AS state, r.owner, r.makes FROM tasks t LEFT JOIN LATERAL (
    SELECT r.id, r.status, r.owner, n.makes FROM (
        SELECT unnest(t.inputs || t.payload_result) AS result, false AS makes
        UNION ALL SELECT unnest(t.outputs), true) AS n
    JOIN results r ON r.id = n.result
    WHERE r.status = 4 OR (r.status = 3 AND NOT n.makes) ORDER BY n.makes, r.status DESC, r.id LIMIT 1) AS r ON true
WHERE t.id = ANY($1::uuid[]) ORDER BY t.id;

-- name: unsettle
-- Also those that are not settled: who is about to settle them waits until we have committed, and then looks again.
UPDATE submissions SET settled = false WHERE id IN (
    SELECT id FROM submissions WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE);

-- name: abort_standalone
UPDATE results SET status = 3, completed_at = now() WHERE id IN (
    SELECT id FROM results WHERE session = $1 AND standalone AND id > $2 AND status = 1 AND owner IS NULL ORDER BY id LIMIT $3)
  AND status = 1 AND owner IS NULL
RETURNING id;

-- name: abort_results
-- Only results that no task produces: those end with their task.
UPDATE results SET status = 3, completed_at = now()
WHERE id = ANY($1::uuid[]) AND session = $2 AND standalone AND status = 1 AND owner IS NULL RETURNING id;

-- name: waiting_for
SELECT DISTINCT ON (t.id) t.id, t.attempt, d.result FROM dependencies d JOIN tasks t ON t.id = d.task
WHERE d.result = ANY($1::uuid[]) AND t.status IN (1, 2) ORDER BY t.id, d.result;

-- name: abort_outputs
UPDATE results SET status = 3, completed_at = now()
WHERE status = 1 AND id IN (SELECT unnest(outputs) FROM tasks WHERE id = ANY($1::uuid[])) RETURNING id;

-- name: drop_ready
WITH placeless AS (
    DELETE FROM unplaced WHERE (partition, function, task) IN (
        SELECT partition, function, task FROM unplaced WHERE session = $1 ORDER BY task FOR UPDATE)
)
DELETE FROM ready WHERE session = $1;

-- Submissions

-- name: open_submission
-- The session is held so that it cannot close before our rows are there.
WITH held AS (
    SELECT * FROM sessions WHERE id = $2 FOR SHARE
), opened AS (
    INSERT INTO submissions (id, session, owner, status, options, trace)
    SELECT $1, held.id, $3, 1, $4, $5 FROM held WHERE held.status IN (1, 2) AND held.client_submission
    ON CONFLICT (id) DO NOTHING RETURNING id
)
SELECT held.*, (SELECT id FROM opened) IS NOT NULL AS opened FROM held;

-- name: submit
SELECT *, number AS epoch FROM submit_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21, $22, $23, $24, $25, $26, $27, $28);

-- name: hold_submission
SELECT * FROM submissions WHERE id = $1 FOR SHARE;

-- name: lock_submission
SELECT * FROM submissions WHERE id = $1 FOR UPDATE;

-- name: submission
SELECT s.*, (SELECT count(*) FROM chunks c WHERE c.submission = s.id) AS chunks FROM submissions s WHERE s.id = $1;

-- name: submissions_of_session
-- $2: also those whose parent has not completed.
SELECT id FROM submissions WHERE session = $1 AND ($2 OR status <> 1 OR parent IS NULL) ORDER BY id;

-- name: visible_of_session
SELECT id FROM submissions WHERE session = $1 AND id >= coalesce($2, id) AND status = 2 ORDER BY id;

-- name: visible_sizes
SELECT id, tasks FROM submissions WHERE session = $1 AND id >= $2 AND status = 2 ORDER BY id LIMIT $3;

-- name: lists
SELECT id, status, size, data, object FROM results WHERE id = ANY($1::uuid[]) AND session = $2;

-- name: lists_of_parent
-- What a task has created so far, and its inputs.
SELECT id, CASE WHEN data IS NULL AND object IS NULL THEN 1 ELSE 2 END AS status, size, data, object FROM promised
WHERE submission = $1 AND id = ANY($3::uuid[])
UNION ALL
SELECT r.id, r.status, r.size, r.data, r.object FROM tasks t JOIN results r ON r.id = ANY(t.inputs || t.payload_result)
WHERE t.id = $2 AND r.id = ANY($3::uuid[]);

-- name: chunk
SELECT digest, tasks FROM chunks WHERE submission = $1 AND number = $2;

-- name: add_chunk
INSERT INTO chunks (submission, number, first_line, tasks, digest, cross_chunk, outside, claims, applications)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: lock_results
-- Not those that a running task's subtasks are to produce: nobody else can know that they will ever be.
SELECT id, session, status, owner FROM results r WHERE id = ANY($1::uuid[])
  AND (r.status <> 1 OR r.owner IS NULL OR NOT EXISTS (
    SELECT 1 FROM submissions s WHERE s.id = (left(r.owner::text, 28) || '00000000')::uuid
      AND s.status = 1 AND s.parent IS NOT NULL))
ORDER BY id FOR SHARE;

-- name: claim_results
UPDATE results r SET owner = c.task FROM unnest($1::uuid[], $2::uuid[]) AS c(result, task)
WHERE r.id = c.result AND r.owner IS NULL AND r.status = 1 AND r.session = $3 RETURNING r.id;

-- name: add_lanes
-- $6: the function of all tasks of the chunk in this lane, or NULL.
INSERT INTO lanes (submission, session, partition, priority, upto, function)
SELECT $1, $2, l.* FROM unnest($3::smallint[], $4::smallint[], $5::integer[], $6::text[]) AS l(partition, priority, upto, function)
ON CONFLICT (submission, partition, priority) DO UPDATE SET upto = greatest(lanes.upto, excluded.upto),
    function = CASE WHEN lanes.function = excluded.function THEN lanes.function END;

-- name: chunk_totals
SELECT count(*) AS chunks, coalesce(sum(tasks), 0) AS tasks, coalesce(max(number), -1) AS last,
       bool_and(first_line = before) AS contiguous, bool_or(cross_chunk) AS cross_chunk, bool_or(outside) AS outside,
       bool_or(claims) AS claims, bool_or(applications) AS applications
FROM (SELECT c.*, sum(tasks) OVER (ORDER BY number) - tasks AS before FROM chunks c WHERE submission = $1) AS c;

-- name: dangling
SELECT d.result, d.task FROM dependencies d LEFT JOIN results r ON r.id = d.result
WHERE d.task >= $1 AND d.task <= $2 AND d.result >= $1 AND d.result <= $3 AND r.id IS NULL LIMIT 1;

-- name: hold_inner
-- Results of the submission itself that its tasks wait for: who aborts one counts its dependents before us, or after.
SELECT id FROM results WHERE id IN (
    SELECT result FROM dependencies WHERE task >= $1 AND task <= $2 AND result >= $1 AND result <= $3)
ORDER BY id FOR SHARE;

-- name: stranded
SELECT DISTINCT ON (t.id) t.id, t.attempt, d.result, r.owner
FROM dependencies d JOIN results r ON r.id = d.result JOIN tasks t ON t.id = d.task
WHERE d.task >= $1 AND d.task <= $2 AND d.result >= $1 AND d.result <= $3 AND r.status IN (3, 4) AND t.status IN (1, 2)
ORDER BY t.id, d.result;

-- name: lock_graph
SELECT pg_advisory_xact_lock(hashtextextended('headrace.graph.' || $1::text, 0));

-- name: cycle
-- Lines refer to earlier lines only: what comes back to itself passes a result that existed before and is claimed here.
WITH RECURSIVE reach(origin, task) AS (
    SELECT t.id, d.task FROM tasks t CROSS JOIN unnest(t.outputs) AS o(result)
    JOIN results r ON r.id = o.result AND r.standalone JOIN dependencies d ON d.result = o.result
    WHERE t.id >= $1 AND t.id <= $2
    UNION
    SELECT r.origin, d.task FROM reach r JOIN tasks t ON t.id = r.task
    CROSS JOIN unnest(t.outputs) AS o(result) JOIN dependencies d ON d.result = o.result
)
SELECT origin FROM reach WHERE origin = task LIMIT 1;

-- name: show_submission
UPDATE submissions SET status = 2, tasks = $2, applications = $3 WHERE id = $1;

-- name: begin_tasks
-- Tasks that wait for results of others could be counted down before their submission was visible.
UPDATE tasks SET status = 2 WHERE id >= $1 AND id <= $2 AND status = 1 RETURNING id, remaining;

-- name: choose
SELECT *, number AS epoch FROM choose_v1($1, $2, $3);

-- name: refuse_submission
UPDATE submissions SET status = 3, refusal = $2 WHERE id = $1 AND status = 1 RETURNING id;

-- name: release_claims
UPDATE results SET owner = NULL WHERE owner >= $1 AND owner <= $2
  AND id IN (SELECT unnest(outputs) FROM tasks WHERE id >= $1 AND id <= $2) AND standalone;

-- name: drop_dependencies
DELETE FROM dependencies WHERE (result, task) IN (
    SELECT i, t.id FROM tasks t CROSS JOIN unnest(t.inputs || t.payload_result) AS i
    WHERE t.id >= $1 AND t.id <= $2);

-- name: drop_tasks
DELETE FROM tasks WHERE id >= $1 AND id <= $2;

-- name: drop_results
DELETE FROM results WHERE id > $1 AND id <= $2;

-- name: drop_chunks
DELETE FROM chunks WHERE submission = $1;

-- name: drop_submission_lanes
DELETE FROM lanes WHERE submission = $1;

-- name: abandoned
-- By the age of its newest chunk: an upload that takes long is not one that has stopped. $2: only this one.
SELECT id FROM submissions s WHERE status = 1 AND NOT settled AND parent IS NULL AND ($2::uuid IS NULL OR id = $2)
  AND greatest(s.created_at, (SELECT max(c.created_at) FROM chunks c WHERE c.submission = s.id))
      < now() - make_interval(secs => $1)
ORDER BY id LIMIT 10;

-- name: settle
UPDATE submissions SET settled = true WHERE id = $1;

-- name: unsettled
SELECT s.id FROM submissions s
WHERE NOT s.settled AND s.status <> 1 AND s.id > $1 AND NOT EXISTS (
    SELECT 1 FROM lanes l WHERE l.submission = s.id AND l.cursor < l.upto) ORDER BY s.id LIMIT $2;

-- name: orphans
-- Subtasks of an attempt that can no longer complete. It never can again: whoever tries anew has another attempt.
SELECT s.id FROM submissions s WHERE s.status = 1 AND s.parent IS NOT NULL AND s.id > $1 AND NOT EXISTS (
    SELECT 1 FROM tasks t WHERE t.id = s.parent AND t.attempt = s.parent_attempt AND t.status IN (2, 3, 4, 5, 10))
ORDER BY s.id LIMIT $2;

-- name: drop_unborn
-- With its chunks, lanes and promises.
DELETE FROM submissions WHERE id = $1 AND status = 1;

-- name: open_task
-- The first of a span that has not ended.
SELECT id FROM tasks WHERE id >= $1 AND id <= $2 AND status IN (1, 2, 3, 4, 5, 10, 11) ORDER BY id LIMIT 1;

-- Subtasks: what a running task creates

-- name: hold_parent
-- An attempt that can still complete, with its session, held so that it cannot close before us.
SELECT s.*, t.inputs, t.payload_result, t.outputs FROM tasks t JOIN sessions s ON s.id = t.session
WHERE t.id = $1 AND t.attempt = $2 AND t.status IN (2, 3, 4, 5, 10) AND t.remaining = 0 FOR SHARE OF s;

-- name: open_children
INSERT INTO submissions (id, session, owner, status, options, trace, parent, parent_attempt)
VALUES ($1, $2, $3, 1, '{}', $4, $5, $6) ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: promise_results
INSERT INTO promised (submission, id, delegated, name, size, data, object, checksum)
SELECT $1, u.id, false, u.name, u.size, u.data, u.object, u.checksum
FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::bytea[])
    AS u(id, name, size, data, object, checksum)
ON CONFLICT DO NOTHING RETURNING id;

-- name: promised
SELECT id, delegated, data IS NOT NULL OR object IS NOT NULL AS complete FROM promised
WHERE submission = $1 AND id = ANY($2::uuid[]);

-- name: promise_outputs
-- Each by one child: what has one already, or a value, is not returned. $4: those that are the parent's expected outputs.
INSERT INTO promised (submission, id, owner, delegated)
SELECT $1, c.result, c.task, c.result = ANY($4::uuid[]) FROM unnest($2::uuid[], $3::uuid[]) AS c(result, task)
ON CONFLICT (submission, id) DO UPDATE SET owner = excluded.owner
WHERE promised.owner IS NULL AND promised.data IS NULL AND promised.object IS NULL RETURNING id;

-- name: backward
-- A subtask that needs what a later one, or itself, produces. Where there is none, nothing waits for itself.
SELECT d.task, p.owner, p.id FROM promised p JOIN dependencies d ON d.result = p.id
WHERE p.submission = $1 AND p.owner IS NOT NULL AND d.task >= $2 AND d.task <= p.owner LIMIT 1;

-- name: seal_children
UPDATE submissions SET sealed = true, tasks = $2, outside = $3, applications = $4 WHERE id = $1;

-- Results

-- name: add_results
INSERT INTO results (id, session, standalone, status, size, name, data, object, checksum, created_at, completed_at)
SELECT u.id, $1, true, CASE WHEN u.complete THEN 2 ELSE 1 END, u.size, u.name, u.data, u.object, u.checksum, now(),
       CASE WHEN u.complete THEN now() END
FROM unnest($2::uuid[], $3::text[], $4::boolean[], $5::bigint[], $6::bytea[], $7::text[], $8::bytea[])
    AS u(id, name, complete, size, data, object, checksum)
ON CONFLICT (id) DO NOTHING;

-- name: result
SELECT * FROM results r WHERE id = $1 AND NOT (r.status = 1 AND r.owner IS NOT NULL AND unborn_v1(r.owner));

-- name: results
SELECT * FROM results r WHERE id = ANY($1::uuid[]) AND NOT (r.status = 1 AND r.owner IS NOT NULL AND unborn_v1(r.owner)) ORDER BY id;

-- name: result_states_range
-- Those of these submissions, in the order of ids, after $3.
SELECT r.* FROM unnest($1::uuid[], $2::uuid[]) AS s(lo, hi) CROSS JOIN LATERAL (
    SELECT id, status FROM results WHERE id > s.lo AND id <= s.hi AND id > $3 ORDER BY id LIMIT $4) AS r
ORDER BY r.id LIMIT $4;

-- name: result_states_standalone
SELECT id, status FROM results WHERE session = $1 AND standalone AND id > $2 ORDER BY id LIMIT $3;

-- name: result_states_of
SELECT id, status FROM results r WHERE id = ANY($1::uuid[]) AND session = $2 AND NOT (r.status = 1 AND r.owner IS NOT NULL AND unborn_v1(r.owner));

-- name: hold_session
-- It cannot close, nor be cancelled or purged, before what we do in it is there.
SELECT * FROM sessions WHERE id = $1 FOR SHARE;

-- name: complete_result
UPDATE results SET status = 2, size = $2, data = $3, object = $4, checksum = $5, completed_at = now()
WHERE id = $1 AND status = 1 AND owner IS NULL RETURNING *;

-- name: keep_checksums
-- Of what tasks made. The key says that it is this very value: no two writers have the same.
UPDATE results r SET checksum = decode(o.checksum, 'hex') FROM unnest($1::uuid[], $2::text[], $3::text[]) AS o(id, object, checksum)
WHERE r.id = o.id AND r.object = o.object;

-- name: take_results
SELECT * FROM results r WHERE id = ANY($1::uuid[]) AND NOT (r.status = 1 AND r.owner IS NOT NULL AND unborn_v1(r.owner)) ORDER BY id FOR UPDATE OF r;

-- name: import_results
UPDATE results r SET status = 2, size = o.size, object = o.object, checksum = o.checksum, owned = false, completed_at = now()
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[]) AS o(id, object, size, checksum)
WHERE r.id = o.id AND r.status = 1 AND r.owner IS NULL RETURNING r.id;

-- name: unsettled_of_session
SELECT id, status FROM submissions WHERE session = $1 AND NOT settled ORDER BY id;

-- name: needed_by
-- A task of a submission that has not ended and has one of these as an input. Dependencies are not enough to tell: there is
-- none on a result that was complete when the task was submitted. (Materialized, so that it is a hash join and not, for the
-- sake of the one row asked for, a walk through all of $3 for each input.)
WITH gone AS MATERIALIZED (
    SELECT unnest($3::uuid[]) AS id
), needed AS MATERIALIZED (
    SELECT t.id AS task, i.result FROM tasks t CROSS JOIN LATERAL unnest(t.inputs || t.payload_result) AS i(result)
    JOIN gone ON gone.id = i.result
    WHERE t.id >= $1 AND t.id <= $2 AND t.status IN (1, 2, 3, 4, 5, 10, 11)
)
SELECT task, result FROM needed LIMIT 1;

-- name: delete_values
UPDATE results SET status = 4, data = NULL, object = NULL, completed_at = coalesce(completed_at, now())
WHERE id = ANY($1::uuid[]) AND status = ANY($2::smallint[]) RETURNING id;

-- name: doom
INSERT INTO doomed (key) SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING;

-- name: doomed
SELECT key FROM doomed ORDER BY added_at LIMIT $1;

-- name: forget_doomed
DELETE FROM doomed WHERE key = ANY($1::text[]);

-- name: waited
SELECT r.id, r.session, r.status, s.owner FROM results r JOIN sessions s ON s.id = r.session
WHERE r.id = ANY($1::uuid[]) AND NOT (r.status = 1 AND r.owner IS NOT NULL AND unborn_v1(r.owner));

-- name: result_states
SELECT id, status FROM results WHERE id = ANY($1::uuid[]);

-- name: count_down
SELECT *, number AS epoch FROM count_down_v1($1, $2, $3);

-- name: values
SELECT id, data, object, size FROM results WHERE id = ANY($1::uuid[]) AND status = 2;

-- Tasks

-- name: task
SELECT t.*, p.name AS partition_name FROM tasks t JOIN partitions p ON p.id = t.partition
WHERE t.id = $1 AND NOT (t.parent IS NOT NULL AND unborn_v1(t.id));

-- name: outputs
SELECT t.id, t.outputs, e.owner FROM tasks t JOIN sessions e ON e.id = t.session
WHERE t.id = ANY($1::uuid[]) AND NOT (t.parent IS NOT NULL AND unborn_v1(t.id));

-- name: attempts
SELECT attempt, status, worker, error, started_at, ended_at FROM attempts
WHERE task = $1 AND attempt > $2 AND attempt < $3 ORDER BY attempt LIMIT $4;

-- name: task_states_range
-- What tells the state of the tasks of these submissions (whole ranges, in the order of ids), after $3.
SELECT t.* FROM unnest($1::uuid[], $2::uuid[]) AS s(lo, hi) CROSS JOIN LATERAL (
    SELECT id, status, deps, remaining, attempt, partition, priority FROM tasks
    WHERE id >= s.lo AND id <= s.hi AND id > $3 ORDER BY id LIMIT $4) AS t
ORDER BY t.id LIMIT $4;

-- name: task_states_of
SELECT id, status, deps, remaining, attempt, partition, priority FROM tasks t
WHERE id = ANY($1::uuid[]) AND session = $2 AND NOT (t.parent IS NOT NULL AND unborn_v1(t.id));

-- name: lanes_of
SELECT submission, partition, priority, cursor FROM lanes WHERE submission = ANY($1::uuid[]);

-- name: task_inputs
-- The inputs after place $2: at most $3 of them and $4 bytes, one at least; each counts $5 bytes beside its data or key. Only this
-- slice of the array is taken apart, and data that have no room are not read.
SELECT v.id, v.data, v.object, v.size, v.place + $2 < v.inputs AS more
FROM (SELECT u.place, r.id, r.data, r.object, r.size, t.inputs,
             sum($5 + coalesce(octet_length(r.data), octet_length(r.object), 0)) OVER (ORDER BY u.place) AS bytes
      FROM (SELECT cardinality(inputs) AS inputs, inputs[$2 + 1 : $2 + $3] AS slice FROM tasks WHERE id = $1 OFFSET 0) AS t
      CROSS JOIN unnest(t.slice) WITH ORDINALITY AS u(result, place) JOIN results r ON r.id = u.result) AS v
WHERE v.bytes <= $4 OR v.place = 1 ORDER BY v.place;

-- name: unmet
SELECT r.id, r.status, r.owner FROM dependencies d JOIN results r ON r.id = d.result
WHERE d.task = $1 AND r.status <> 2 LIMIT 5;

-- name: ready_since
-- When the last of what it waited for was there: its submission, its inputs, the end of the attempt before.
SELECT greatest(
    (SELECT max(c.created_at) FROM chunks c WHERE c.submission = $2),
    (SELECT max(r.completed_at) FROM results r WHERE r.id = ANY(t.inputs || t.payload_result)),
    (SELECT max(a.ended_at) FROM attempts a WHERE a.task = t.id))
FROM tasks t WHERE t.id = $1;

-- Turns

-- Placement

-- Recovery: what the queue held is made to wait again

-- Reports and leases

-- name: complete
SELECT *, number AS epoch FROM complete_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: complete_one
SELECT *, number AS epoch FROM complete_one_v1($1, $2, $3, $4, $5, $6, $7, $8);

-- name: complete_parent
SELECT *, number AS epoch FROM complete_parent_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: fail
SELECT * FROM end_v1($1, $2, $3, $4);

-- name: still_open
SELECT id, attempt, cardinality(outputs) AS outputs FROM tasks
WHERE id = ANY($1::uuid[]) AND status IN (2, 3, 4, 5, 10) AND remaining = 0;

-- name: start_tasks
WITH begun AS (
    UPDATE tasks t SET status = 5, worker = s.worker, started_at = coalesce(t.started_at, now() - interval '100 milliseconds')
    FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS s(id, attempt, worker)
    WHERE t.id = s.id AND t.attempt = s.attempt AND t.status IN (2, 3, 4) AND t.remaining = 0
    RETURNING t.id, t.attempt, t.worker, t.session
), noted AS (
    INSERT INTO running (task, attempt, worker) SELECT id, attempt, worker FROM begun
    ON CONFLICT (task) DO UPDATE SET attempt = excluded.attempt, worker = excluded.worker, since = now()
)
SELECT id, session FROM begun;

-- name: retry_tasks
-- A lost attempt: the next one waits for its turn, as long as there are retries left and the session is open; it is held, so
-- that a close which commits later finds what waits.
WITH live AS MATERIALIZED (
    SELECT id FROM sessions WHERE id IN (SELECT session FROM tasks WHERE id = ANY($1::uuid[])) AND status IN (1, 2)
    ORDER BY id FOR SHARE
), again AS (
    UPDATE tasks t SET status = 2, attempt = t.attempt + 1, worker = NULL, started_at = NULL
    FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[]) AS l(id, attempt, worker, error)
    WHERE t.id = l.id AND t.attempt = l.attempt AND t.status IN (2, 3, 4, 5) AND t.remaining = 0
      AND t.attempt - t.uncounted < t.max_retries AND t.session IN (SELECT id FROM live)
    RETURNING t.id, t.attempt, t.session, t.partition, t.priority, l.worker, l.error
), history AS (
    INSERT INTO attempts (task, attempt, worker, error, started_at) -- `tasks` here: as it was before this statement
    SELECT a.id, a.attempt - 1, a.worker, a.error, o.started_at FROM again a JOIN tasks o ON o.id = a.id ON CONFLICT DO NOTHING
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM again)
), queued AS (
    INSERT INTO ready (partition, priority, session, task) SELECT partition, priority, session, id FROM again
    ON CONFLICT DO NOTHING
)
SELECT id, session, partition FROM again;

-- name: add_logs
-- Only of attempts that there are or were. Returns what was not there before.
INSERT INTO task_logs (task, attempt, start, text)
SELECT l.task, l.attempt, l.start, l.text
FROM unnest($1::uuid[], $2::smallint[], $3::integer[], $4::text[]) AS l(task, attempt, start, text)
JOIN tasks t ON t.id = l.task AND t.attempt >= l.attempt
ON CONFLICT DO NOTHING RETURNING task, attempt, start, text;

-- name: logs
-- From the piece on that holds character $3.
SELECT start, text FROM task_logs WHERE task = $1 AND attempt = $2 AND start >= coalesce((
    SELECT max(start) FROM task_logs WHERE task = $1 AND attempt = $2 AND start <= $3), 0)
ORDER BY start LIMIT $4;

-- name: sessions_of_tasks
SELECT id, session FROM tasks WHERE id = ANY($1::uuid[]);

-- name: confirmable
SELECT t.id, t.attempt, r.worker FROM tasks t LEFT JOIN running r ON r.task = t.id
WHERE t.id = ANY($1::uuid[]) AND t.status IN (2, 3, 4, 5) AND t.remaining = 0
  AND t.session IN (SELECT id FROM sessions WHERE status = 1);


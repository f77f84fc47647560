-- Tasks. Those that a running task has submitted are not shown before it completes.

-- name: find
SELECT t.*, p.name AS partition_name FROM tasks t JOIN partitions p ON p.id = t.partition
WHERE t.id = :task AND NOT (t.parent IS NOT NULL AND is_hidden_v1(t.id));

-- name: lock
SELECT id, session, status, deps, attempt, remaining, partition, priority FROM tasks t
WHERE id = ANY(:tasks::uuid[]) AND session = :session AND NOT (t.parent IS NOT NULL AND is_hidden_v1(t.id))
ORDER BY id FOR UPDATE OF t;

-- name: outputs
SELECT t.id, t.outputs, e.owner FROM tasks t JOIN sessions e ON e.id = t.session
WHERE t.id = ANY(:tasks::uuid[]) AND NOT (t.parent IS NOT NULL AND is_hidden_v1(t.id));

-- name: attempts
SELECT attempt, status, worker, error, started_at, ended_at FROM attempts
WHERE task = :task AND attempt > :after AND attempt < :before ORDER BY attempt LIMIT :most;

-- name: cursors
SELECT submission, partition, priority, cursor FROM lanes WHERE submission = ANY(:submissions::uuid[]);

-- name: inputs
-- The inputs after place :start: at most :most of them and :room bytes, one at least; each counts :each bytes beside its data or
-- key. Only this slice of the array is taken apart, and data that have no room are not read.
SELECT v.id, v.data, v.object, v.size, v.place + :start < v.inputs AS more
FROM (SELECT u.place, r.id, r.data, r.object, r.size, t.inputs,
             sum(:each + coalesce(octet_length(r.data), octet_length(r.object), 0)) OVER (ORDER BY u.place) AS bytes
      FROM (SELECT cardinality(inputs) AS inputs, inputs[(:start + 1):(:start + :most)] AS slice FROM tasks
            WHERE id = :task AND (:site::text = '' OR partition = (SELECT p.id FROM partitions p WHERE p.name = :site))
            OFFSET 0) AS t
      CROSS JOIN unnest(t.slice) WITH ORDINALITY AS u(result, place) JOIN results r ON r.id = u.result) AS v
WHERE v.bytes <= :room OR v.place = 1 ORDER BY v.place;

-- name: confirmable
SELECT t.id, t.attempt, r.worker FROM tasks t LEFT JOIN running r ON r.task = t.id
WHERE t.id = ANY(:tasks::uuid[]) AND t.status IN ({task.active}) AND t.remaining = 0
  AND (:site::text = '' OR t.partition = (SELECT p.id FROM partitions p WHERE p.name = :site))
  AND t.session IN (SELECT id FROM sessions WHERE status = {session.running});

-- name: unmet
SELECT r.id, r.status, r.owner FROM dependencies d JOIN results r ON r.id = d.result
WHERE d.task = :task AND r.status <> {result.completed} LIMIT 5;

-- name: ready_since
-- When the last of what it waited for was there: its submission, its inputs, the end of the attempt before.
SELECT greatest(
    (SELECT max(c.created_at) FROM chunks c WHERE c.submission = :submission),
    (SELECT max(r.completed_at) FROM results r WHERE r.id = ANY(t.inputs || t.payload_result)),
    (SELECT max(a.ended_at) FROM attempts a WHERE a.task = t.id))
FROM tasks t WHERE t.id = :task;

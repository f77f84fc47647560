-- What a running task creates: a submission with a parent, and the results that it promises.

-- name: hold_parent
-- An attempt that can still complete, with its session, held so that it cannot close before us.
SELECT s.*, t.inputs, t.payload_result, t.outputs FROM tasks t JOIN sessions s ON s.id = t.session
WHERE t.id = :task AND t.attempt = :attempt AND t.status IN ({task.open}) AND t.remaining = 0
  AND (:site::text = '' OR t.partition = (SELECT p.id FROM partitions p WHERE p.name = :site))
FOR SHARE OF s;

-- name: open
INSERT INTO submissions (id, session, owner, status, options, trace, parent, parent_attempt)
VALUES (:submission, :session, :owner, {submission.open}, '{}', :trace, :parent, :attempt)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: promise_results
INSERT INTO promised (submission, id, delegated, name, size, data, object, checksum)
SELECT :submission, u.id, false, u.name, u.size, u.data, u.object, u.checksum
FROM unnest(:results::uuid[], :names::text[], :sizes::bigint[], :data::bytea[], :objects::text[], :checksums::bytea[])
    AS u(id, name, size, data, object, checksum)
ON CONFLICT DO NOTHING RETURNING id;

-- name: promised
SELECT id, delegated, data IS NOT NULL OR object IS NOT NULL AS complete FROM promised
WHERE submission = :submission AND id = ANY(:results::uuid[]);

-- name: promise_outputs
-- Each by one child: what has one already, or a value, is not returned. :expected: the parent's own outputs.
INSERT INTO promised (submission, id, owner, delegated)
SELECT :submission, c.result, c.task, c.result = ANY(:expected::uuid[])
FROM unnest(:results::uuid[], :tasks::uuid[]) AS c(result, task)
ON CONFLICT (submission, id) DO UPDATE SET owner = excluded.owner
WHERE promised.owner IS NULL AND promised.data IS NULL AND promised.object IS NULL RETURNING id;

-- name: backward
-- A subtask that needs what a later one, or itself, produces. Where there is none, nothing waits for itself.
SELECT d.task, p.owner, p.id FROM promised p JOIN dependencies d ON d.result = p.id
WHERE p.submission = :submission AND p.owner IS NOT NULL AND d.task >= :first AND d.task <= p.owner LIMIT 1;

-- name: seal
UPDATE submissions SET sealed = true, tasks = :tasks, outside = :outside, applications = :applications WHERE id = :submission;

-- The rows of a submission's chunks: what is beside COPY, and how they are taken away again.

-- name: submit
SELECT * FROM submit_v1(
    :submission, :session, :owner, :options, :trace, :digest, :applications,
    :tasks, :deps, :task_partitions, :task_priorities, :max_retries, :max_durations, :functions, :payloads, :payload_results,
    :inputs, :outputs, :labels, :task_applications, :results, :owners, :needed, :needing,
    :partitions, :priorities, :upto, :choose);

-- name: hold_results
-- Not those that a running task's subtasks are to produce: nobody else can know that they will ever be.
SELECT id, session, status, owner FROM results r WHERE id = ANY(:results::uuid[])
  AND (r.status <> {result.created} OR r.owner IS NULL OR NOT EXISTS (
    SELECT 1 FROM submissions s WHERE s.id = submission_of_v1(r.owner)
      AND s.status = {submission.open} AND s.parent IS NOT NULL))
ORDER BY id FOR SHARE;

-- name: claim_results
UPDATE results r SET owner = c.task FROM unnest(:results::uuid[], :tasks::uuid[]) AS c(result, task)
WHERE r.id = c.result AND r.owner IS NULL AND r.status = {result.created} AND r.session = :session RETURNING r.id;

-- name: add_lanes
-- `function`: that of all tasks of the chunk in this lane, or NULL.
INSERT INTO lanes (submission, session, partition, priority, upto, function)
SELECT :submission, :session, l.*
FROM unnest(:partitions::smallint[], :priorities::smallint[], :upto::integer[], :functions::text[])
    AS l(partition, priority, upto, function)
ON CONFLICT (submission, partition, priority) DO UPDATE SET upto = greatest(lanes.upto, excluded.upto),
    function = CASE WHEN lanes.function = excluded.function THEN lanes.function END;

-- name: release_claims
UPDATE results SET owner = NULL WHERE owner >= :first AND owner <= :last
  AND id IN (SELECT unnest(outputs) FROM tasks WHERE id >= :first AND id <= :last) AND standalone;

-- name: drop_dependencies
DELETE FROM dependencies WHERE (result, task) IN (
    SELECT i, t.id FROM tasks t CROSS JOIN unnest(t.inputs || t.payload_result) AS i
    WHERE t.id >= :first AND t.id <= :last);

-- name: drop_tasks
DELETE FROM tasks WHERE id >= :first AND id <= :last;

-- name: drop_results
DELETE FROM results WHERE id > :below AND id <= :last;

-- name: drop_lanes
DELETE FROM lanes WHERE submission = :submission;

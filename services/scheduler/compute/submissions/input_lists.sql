-- Results whose values are lists of inputs.

-- name: of_session
SELECT id, status, size, data, object FROM results WHERE id = ANY(:results::uuid[]) AND session = :session;

-- name: of_parent
-- What a task has created so far, and its inputs.
SELECT id, CASE WHEN data IS NULL AND object IS NULL THEN {result.created} ELSE {result.completed} END AS status, size, data, object
FROM promised WHERE submission = :submission AND id = ANY(:results::uuid[])
UNION ALL
SELECT r.id, r.status, r.size, r.data, r.object FROM tasks t JOIN results r ON r.id = ANY(t.inputs || t.payload_result)
WHERE t.id = :task AND r.id = ANY(:results::uuid[]);

-- What a message carries beside the tasks' own rows.

-- name: submissions
SELECT id, trace, applications FROM submissions WHERE id = ANY(:submissions::uuid[]);

-- name: applications
SELECT id, application FROM tasks WHERE id = ANY(:tasks::uuid[]) AND application IS NOT NULL;

-- name: values
SELECT id, data, object, size FROM results WHERE id = ANY(:results::uuid[]) AND status = {result.completed};

-- name: count_outstanding
-- Chosen and not ended: what a window counts as outstanding, exactly. Nothing, if that would read more than `limit` rows.
WITH active AS MATERIALIZED (
    SELECT s.id, s.tasks FROM submissions s WHERE NOT s.ended AND s.status = {submission.visible}
)
SELECT count(*) FROM active s JOIN tasks t ON t.id >= s.id AND t.id <= last_task_v1(s.id)
LEFT JOIN lanes l ON l.submission = s.id AND l.partition = t.partition AND l.priority = t.priority
WHERE (SELECT coalesce(sum(tasks), 0) FROM active) <= :limit
  AND t.partition = :partition AND (t.status IN ({task.outstanding})
    OR (t.status = {task.pending} AND t.deps = 0 AND t.attempt = 0 AND line_of_v1(t.id) < coalesce(l.cursor, 0)))
HAVING (SELECT coalesce(sum(tasks), 0) FROM active) <= :limit;

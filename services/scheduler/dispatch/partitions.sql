-- The table of partitions, and what is counted for those who look at them.

-- name: partitions
SELECT id, name, priority, reserve, max, of_site FROM partitions WHERE deleted_at IS NULL ORDER BY name;

-- name: hold
-- Held so that none of them is deleted before what names them is there.
SELECT name FROM partitions WHERE name = ANY(:names::text[]) AND deleted_at IS NULL ORDER BY name FOR SHARE;

-- name: lock
SELECT id, name, priority, reserve, max, deleted_at FROM partitions WHERE name = :name FOR UPDATE;

-- name: create
INSERT INTO partitions (name, priority, reserve, max) VALUES (:name, :priority, :reserve, :max) ON CONFLICT (name) DO NOTHING;

-- name: change
UPDATE partitions SET priority = :priority, reserve = :reserve, max = :max, deleted_at = NULL WHERE name = :name
RETURNING id, name, priority, reserve, max, deleted_at;

-- name: enter
-- One that is there stays as it is, but for whose it is; a deleted one is made again.
INSERT INTO partitions (name, of_site) VALUES (:name, true) ON CONFLICT (name) DO UPDATE SET of_site = true, deleted_at = NULL
RETURNING id, name, priority, reserve, max, deleted_at;

-- name: mark_deleted
UPDATE partitions SET deleted_at = now() WHERE name = :name;

-- name: sessions_using
SELECT id, status FROM sessions WHERE :name::text = ANY(partitions) AND status IN ({session.open}) ORDER BY id LIMIT 5;

-- name: unended_tasks
-- In sessions that are over by now. One task of each of the first submissions that have any.
SELECT unended.id FROM sessions e JOIN submissions s ON s.session = e.id AND NOT s.ended
CROSS JOIN LATERAL (
    SELECT t.id FROM tasks t WHERE t.id >= s.id AND t.id <= last_task_v1(s.id)
      AND t.partition = :partition AND t.status IN ({task.unended}) LIMIT 1) AS unended
WHERE :name::text = ANY(e.partitions) LIMIT 5;

-- name: counts
-- `waiting`: lanes give an upper bound, as lines in between may be of others.
WITH runs AS (
    SELECT t.partition, count(*) AS running FROM running r JOIN tasks t ON t.id = r.task
    WHERE t.status IN ({task.executing}) GROUP BY t.partition
)
SELECT p.id, coalesce(runs.running, 0) AS running, least(100000, (
        SELECT count(*) FROM (SELECT 1 FROM ready r WHERE r.partition = p.id LIMIT 100000) AS found
    ) + (
        SELECT coalesce(sum(l.upto - l.cursor), 0) FROM lanes l WHERE l.partition = p.id AND l.cursor < l.upto
    )) AS waiting
FROM partitions p LEFT JOIN runs ON runs.partition = p.id WHERE p.id = ANY(:partitions::smallint[]);

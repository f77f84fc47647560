-- name: abandon
-- All rows of a dataset go but one, which says that it was abandoned.
WITH dropped_files AS (DELETE FROM files WHERE dataset = :id),
    dropped_datablocks AS (DELETE FROM datablocks WHERE dataset = :id),
    dropped_origdatablocks AS (DELETE FROM origdatablocks WHERE dataset = :id),
    dropped_jobs AS (DELETE FROM jobs WHERE dataset = :id),
    noted AS (INSERT INTO abandoned (id, pid, owner, size, files) SELECT id, pid, owner, size, files FROM datasets WHERE id = :id)
DELETE FROM datasets WHERE id = :id;

-- name: find
-- The last one of a pid, or the one of an id.
SELECT * FROM abandoned WHERE pid = :pid AND (:id::uuid IS NULL OR id = :id) ORDER BY abandoned_at DESC LIMIT 1;

-- Files as they were registered, in original datablocks; and where they lie in datablocks.

-- name: insert_origdatablock
INSERT INTO origdatablocks (id, dataset, size, files) VALUES (:id, :dataset, :size, :files);

-- name: find_origdatablock
SELECT * FROM origdatablocks WHERE id = :id;

-- name: count_origdatablocks
-- After files of them were registered anew; those that have none left go.
WITH counted AS (
    SELECT o.id, coalesce(sum(f.size), 0)::bigint AS size, count(f.path)::integer AS files
    FROM origdatablocks o LEFT JOIN files f ON f.origdatablock = o.id WHERE o.id = ANY(:ids::uuid[]) GROUP BY o.id
), gone AS (
    DELETE FROM origdatablocks o USING counted c WHERE o.id = c.id AND c.files = 0
)
UPDATE origdatablocks o SET size = c.size, files = c.files FROM counted c WHERE o.id = c.id AND c.files > 0;

-- name: insert
INSERT INTO files (dataset, path, size, chk, origdatablock)
SELECT :dataset, u.path, u.size, u.chk, :origdatablock
FROM unnest(:paths::text[], :sizes::bigint[], :chks::text[]) AS u(path, size, chk);

-- name: delete
DELETE FROM files WHERE dataset = :dataset AND path = ANY(:paths::text[]);

-- name: crossing
-- What is registered as a file and would be a folder of one of the new ones (:folders of theirs), or the other way round
-- (:paths of theirs; what lies in `a` sorts between `a/` and `a0`).
SELECT path FROM files WHERE dataset = :dataset AND path = ANY(:folders::text[])
UNION ALL
SELECT f.path FROM unnest(:paths::text[]) AS u(path)
JOIN files f ON f.dataset = :dataset AND f.path > u.path || '/' AND f.path < u.path || '0'
LIMIT 1;

-- name: at
SELECT path, size, chk, origdatablock FROM files WHERE dataset = :dataset AND path = ANY(:paths::text[]) ORDER BY path;

-- name: at_in_damaged
SELECT f.path, f.size, f.chk FROM files f JOIN datablocks b ON b.id = f.datablock
WHERE f.dataset = :dataset AND f.path = ANY(:paths::text[]) AND b.state = {datablock.damaged};

-- name: of_dataset
SELECT path, size, chk FROM files WHERE dataset = :dataset ORDER BY path;

-- name: of_datablock
SELECT path, size, chk FROM files WHERE datablock = :datablock ORDER BY path;

-- name: page
SELECT path, size, chk FROM files WHERE dataset = :dataset AND path > :after ORDER BY path LIMIT :size;

-- name: stored_page
SELECT path, size, chk, datablock, start FROM files
WHERE dataset = :dataset AND path > :after AND datablock IS NOT NULL ORDER BY path LIMIT :size;

-- name: stored_page_of_datablock
SELECT path, size, chk, datablock, start FROM files
WHERE datablock = :datablock AND dataset = :dataset AND path > :after ORDER BY path LIMIT :size;

-- name: place
UPDATE files f SET datablock = :datablock, start = u.start FROM unnest(:paths::text[], :starts::bigint[]) AS u(path, start)
WHERE f.dataset = :dataset AND f.path = u.path;

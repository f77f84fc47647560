-- Datablocks in retrieval storage that nobody needs any more.

-- name: lock
-- No retrieval finds its datablocks, and nobody gets addresses, until the transaction ends.
SELECT locks.lock('retrieval');

-- name: needed
-- Which of these datablocks have to stay: those of retrievals that have not ended, or that were made or brought back after
-- :since, or of which an address expires after it.
SELECT DISTINCT b.archive_id FROM datablocks b JOIN retrievals r ON r.id = b.retrieval LEFT JOIN chains c ON c.id = r.id
WHERE b.archive_id = ANY(:archive_ids::text[]) AND (c.due_at IS NOT NULL OR r.created_at > :since OR r.retrieved_at > :since
    OR r.addresses_until > :since);

-- name: set_evicted
-- Of all retrievals that had them: to download, they have to be retrieved again.
WITH gone AS (UPDATE datablocks SET retrieved = false WHERE archive_id = ANY(:archive_ids::text[]) RETURNING retrieval)
UPDATE retrievals SET evicted_at = :now WHERE id IN (SELECT retrieval FROM gone);

-- Results that somebody waits for.

-- name: find
SELECT r.id, r.session, r.status, s.owner FROM results r JOIN sessions s ON s.id = r.session
WHERE r.id = ANY(:results::uuid[])
  AND NOT (r.status = {result.created} AND r.owner IS NOT NULL AND is_hidden_v1(r.owner));

-- name: states
SELECT id, status FROM results WHERE id = ANY(:results::uuid[]);

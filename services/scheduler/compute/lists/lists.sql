-- Lists with filters, in any order. What stands in braces is put in by filters.py, from its tables of fixed pieces; values are
-- parameters. First the ids of the page: their rows, which may be large, are read when it is known which they are.

-- name: tasks
-- Of each span of ids (`s`, a submission's) at most :most, then of all: a span is walked along the primary key.
SELECT t.id, t.session, t.attempt, t.remaining, t.inputs[1:1000] AS inputs, t.outputs, t.payload_result, t.function,
       t.priority, t.max_retries, t.max_duration, t.labels, t.application, t.worker, t.error, t.started_at, t.ended_at, t.parent,
       p.name AS partition_name, {seen} AS seen, s.key::text AS key
FROM (SELECT y.* FROM unnest(:lows::uuid[], :highs::uuid[]) AS s(lo, hi)
      CROSS JOIN LATERAL (
          SELECT s.lo, t.id, {key} AS key FROM tasks t WHERE t.id >= s.lo AND t.id <= s.hi AND {where} AND {after}
          ORDER BY {order} LIMIT :most) AS y
      ORDER BY {page} LIMIT :most) AS s
JOIN tasks t ON t.id = s.id JOIN partitions p ON p.id = t.partition ORDER BY {last};

-- name: count
SELECT y.seen, count(*) AS tasks FROM unnest(:lows::uuid[], :highs::uuid[]) AS s(lo, hi)
CROSS JOIN LATERAL (
    SELECT {seen} AS seen FROM tasks t WHERE t.id >= s.lo AND t.id <= s.hi AND {where}) AS y
GROUP BY 1;

-- name: results
-- Those of the submissions' spans and, between :low and :high, those of the session that were made by themselves.
SELECT r.*, s.key::text AS key
FROM (SELECT y.* FROM (
          SELECT y.* FROM unnest(:lows::uuid[], :highs::uuid[]) AS s(lo, hi)
          CROSS JOIN LATERAL (
              SELECT r.id, {key} AS key FROM results r WHERE r.id > s.lo AND r.id <= s.hi AND {where} AND {after}
              ORDER BY {order} LIMIT :most) AS y
          UNION ALL
          (SELECT r.id, {key} AS key FROM results r
           WHERE r.session = :session AND r.standalone AND r.id >= :low AND r.id < :high AND {where} AND {after}
           ORDER BY {order} LIMIT :most)) AS y
      ORDER BY {page} LIMIT :most) AS s
JOIN results r ON r.id = s.id ORDER BY {last};

-- name: sessions
SELECT e.*, ({key})::text AS key FROM sessions e WHERE (:owner::text IS NULL OR e.owner = :owner) AND {where} AND {after}
ORDER BY {order} LIMIT :most;

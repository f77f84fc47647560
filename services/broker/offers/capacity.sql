-- What a site's offers hold.

-- name: lock_site
-- One reservation of a site at a time: held until the transaction ends.
SELECT locks.lock('offers.' || :site);

-- name: held
-- An offer that has expired holds nothing, also before the sweep has marked it.
SELECT coalesce(sum(cores), 0)::integer AS cores, coalesce(sum(memory), 0)::integer AS memory
FROM offers WHERE site = :site AND holds AND (phase <> {offer.offered} OR expires_at > :now);

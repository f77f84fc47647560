-- name: record
-- The id that counts: the one recorded before, or this one. The update that changes nothing makes it RETURN a row either way.
INSERT INTO storages (name, id) VALUES (:name, :id) ON CONFLICT (name) DO UPDATE SET id = storages.id RETURNING id;

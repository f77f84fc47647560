-- The storages that this service uses, by name, each with the identity of its marker when it was first seen.

CREATE TABLE storages (
    name text PRIMARY KEY,
    id uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

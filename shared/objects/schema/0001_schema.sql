-- The storages that this service uses, by name (docs/adr/0025-storage-identity.md).

CREATE TABLE storages (
    name text PRIMARY KEY,
    id uuid NOT NULL,                               -- the identity in its marker when it was first seen
    recorded_at timestamptz NOT NULL DEFAULT now()
);

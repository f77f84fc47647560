-- Who may use the HTTP edge. A token is kept as its SHA-256 only.
CREATE TABLE users (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    roles       text[] NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tokens (
    id          uuid PRIMARY KEY,
    hash        bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_name   text NOT NULL REFERENCES users (name),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);

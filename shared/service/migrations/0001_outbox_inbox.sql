-- Every service has these two in its own schema.

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    body bytea NOT NULL,
    trace text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Idempotency keys: what was asked under a key, and what was answered.
CREATE TABLE inbox (
    owner text NOT NULL,
    key text NOT NULL,
    subject text NOT NULL,
    digest bytea NOT NULL,
    reply bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, key)
);

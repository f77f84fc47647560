-- Every service has these two in its own schema.

-- Events that a transaction has decided on: written in it, published after it, removed when the bus has them.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    body bytea NOT NULL,                            -- JSON
    trace text NOT NULL DEFAULT '',                 -- W3C traceparent, or empty
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Idempotency keys: what was asked under a key, and what was answered.
CREATE TABLE inbox (
    owner text NOT NULL,                            -- the user
    key text NOT NULL,
    subject text NOT NULL,
    digest bytea NOT NULL,                          -- of the request: the same key with another one is refused
    reply bytea,                                    -- NULL: not answered yet
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, key)
);
CREATE INDEX inbox_age ON inbox (created_at);

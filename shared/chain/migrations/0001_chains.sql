-- The chains of one service. What the columns mean: shared/chain/decide.py and shared/chain/store.py.

CREATE TABLE chains (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    version integer NOT NULL,
    status smallint NOT NULL,
    step smallint NOT NULL,
    step_name text NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    state jsonb NOT NULL,
    failed_at smallint NOT NULL DEFAULT -1,
    fault smallint NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    cancelling boolean NOT NULL DEFAULT false,
    epoch integer NOT NULL DEFAULT 1,
    claim integer NOT NULL DEFAULT 0,
    runner text NOT NULL DEFAULT '',
    lease_until timestamptz,
    sweeps smallint NOT NULL DEFAULT 0,
    trace text NOT NULL DEFAULT '',
    operation text NOT NULL DEFAULT '',        -- the kind of operation that the chain is to its owner; empty: it is shown to nobody
    owner text NOT NULL DEFAULT '',            -- the user whose operation it is
    target text NOT NULL DEFAULT '',           -- what it is done to: datasets/<pid>, sessions/<session>
    progress jsonb NOT NULL DEFAULT '{}',      -- unit → {"done": …, "total": …}
    revision integer NOT NULL DEFAULT 1,       -- grows with every change that its owner can see
    result jsonb,                              -- what the operation was asked for, once it is known
    since timestamptz NOT NULL,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT chains_due_while_live CHECK ((status IN (1, 2)) = (due_at IS NOT NULL))
);

-- What the sweeper reads: only chains that have not ended.
CREATE INDEX chains_due ON chains (due_at) WHERE due_at IS NOT NULL;

-- A user's operations, newest first.
CREATE INDEX chains_operations ON chains (owner, id) WHERE operation <> '';

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
    since timestamptz NOT NULL,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT chains_due_while_live CHECK ((status IN (1, 2)) = (due_at IS NOT NULL))
);

-- What the sweeper reads: only chains that have not ended.
CREATE INDEX chains_due ON chains (due_at) WHERE due_at IS NOT NULL;

-- The chains of one service (docs/adr/0003-chains.md). States are those of shared/chain/machine.py.

CREATE TABLE chains (
    id uuid PRIMARY KEY,
    kind text NOT NULL,                             -- the chain's name, and with `version` how it is declared
    version integer NOT NULL,
    status smallint NOT NULL,
    step smallint NOT NULL,                         -- where it stands: a place in its declaration, and the name there
    step_name text NOT NULL,
    tries integer NOT NULL DEFAULT 0,               -- of this step
    state jsonb NOT NULL,                           -- what its steps know
    failed_at smallint NOT NULL DEFAULT -1,         -- the step that failed; -1: none
    fault smallint NOT NULL DEFAULT 0,              -- whose: see Fault
    error text NOT NULL DEFAULT '',
    cancelling boolean NOT NULL DEFAULT false,      -- somebody has asked for it
    epoch integer NOT NULL DEFAULT 1,               -- grows with every change: a message says for which one it is
    claim integer NOT NULL DEFAULT 0,               -- grows with every lease: who lost it cannot commit any more
    runner text NOT NULL DEFAULT '',                -- who has the lease
    lease_until timestamptz,                        -- NULL: nobody
    sweeps smallint NOT NULL DEFAULT 0,             -- how often the step was put on the bus again
    trace text NOT NULL DEFAULT '',                 -- W3C traceparent, or empty
    operation text NOT NULL DEFAULT '',             -- the kind of operation that the chain is to its owner; empty: it is shown to nobody
    owner text NOT NULL DEFAULT '',                 -- the user whose operation it is
    target text NOT NULL DEFAULT '',                -- what it is done to: datasets/<pid>, sessions/<session>
    progress jsonb NOT NULL DEFAULT '{}',           -- unit → {"done": …, "total": …}
    revision integer NOT NULL DEFAULT 1,            -- grows with every change that its owner can see
    result jsonb,                                   -- what the operation was asked for, once it is known
    since timestamptz NOT NULL,                     -- when this step was first due
    due_at timestamptz,                             -- when it is due; NULL: the chain has ended
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT chains_due_while_live CHECK ((status IN ({chain.running}, {chain.undoing})) = (due_at IS NOT NULL))
);
-- What the sweeper reads: only chains that have not ended.
CREATE INDEX chains_due ON chains (due_at) WHERE due_at IS NOT NULL;
-- A user's operations, newest first.
CREATE INDEX chains_operations ON chains (owner, created_at, id) WHERE operation <> '';
-- Everybody's, for the administrator.
CREATE INDEX chains_operations_of_all ON chains (created_at, id) WHERE operation <> '';

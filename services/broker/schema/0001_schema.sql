-- Offers and the execution sessions that they become. Phases are those of services/broker/offers/machine.py.
--
-- Rows say whose site they are: brokers of several sites may share this schema.

CREATE TABLE offers (
    id uuid PRIMARY KEY,
    site text NOT NULL,
    offerset uuid NOT NULL,                         -- the question that it answers
    owner text NOT NULL,                            -- the user
    phase smallint NOT NULL,
    version integer NOT NULL DEFAULT 1,             -- grows with every change, for readers of events
    request jsonb NOT NULL,
    terms jsonb NOT NULL,
    cores integer NOT NULL,
    memory integer NOT NULL,                        -- GiB
    holds boolean NOT NULL DEFAULT true,            -- cores and memory are not free for others
    session uuid,                                   -- the compute session, once it is known
    delegation text,                                -- with which the site acts for the owner, since it was accepted
    delegation_ends timestamptz,
    messages jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (offerset, site)                         -- a question that comes twice holds nothing twice
);
-- What counts against a site's capacity is also all that can still change.
CREATE INDEX offers_held ON offers (site, id) WHERE holds;

-- What users ask offers for, and what the sites have answered. Documents are kept as they were on the wire.

CREATE TABLE worksteps (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    request jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX worksteps_owner ON worksteps (owner, id);

CREATE TABLE offersets (
    id uuid PRIMARY KEY,
    workstep uuid REFERENCES worksteps,
    owner text NOT NULL,
    document jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Whose an offer is, and which site to ask about it. What has become of it, the site's broker knows.
CREATE TABLE offers (
    id uuid PRIMARY KEY,
    offerset uuid NOT NULL REFERENCES offersets,
    site text NOT NULL
);
CREATE INDEX offers_offerset ON offers (offerset);

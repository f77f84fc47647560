-- Who may use the HTTP edge; and what users ask offers for, with what the sites have answered.

CREATE TABLE users (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    roles text[] NOT NULL,
    password text,                                  -- argon2id, encoded with its parameters; NULL: no login with a password
    disabled_at timestamptz,                        -- NULL: may use the edge
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE groups (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    group_name text NOT NULL REFERENCES groups (name) ON DELETE CASCADE,
    user_name text NOT NULL REFERENCES users (name),
    PRIMARY KEY (user_name, group_name)
);
CREATE INDEX memberships_of_group ON memberships (group_name, user_name);

-- A token is kept as its SHA-256 only.
CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_name text NOT NULL REFERENCES users (name),
    label text NOT NULL DEFAULT '',                 -- what the owner calls it
    scope text[],                                   -- the permissions that it is limited to; NULL: those of the user's roles
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,                         -- NULL: never
    revoked_at timestamptz,                         -- NULL: it is valid
    from_file boolean NOT NULL DEFAULT false        -- it came from the admin's token file: a new one there revokes those before it
);
CREATE INDEX tokens_of_user ON tokens (user_name, id);

-- Who did what, and who was refused. Each entry's hash covers the one before, so that none can be changed or taken out unnoticed.
CREATE TABLE audit (
    id bigint PRIMARY KEY,                          -- from 1, without a gap
    at timestamptz NOT NULL,
    user_name text NOT NULL,                        -- empty: nobody that is known
    via text NOT NULL,                              -- http or command
    client text NOT NULL,                           -- the address that it came from; empty: the bus
    action text NOT NULL,                           -- <noun>.<verb>; empty: the request did not get so far
    thing text NOT NULL,                            -- <kind>/<id> of what it was done to, as far as the request names it
    allowed boolean NOT NULL,                       -- false: refused for who asked, or for how often
    status smallint NOT NULL,                       -- of the answer, as HTTP has it
    trace text NOT NULL,                            -- the trace's id, under which logs have more
    hash bytea NOT NULL CHECK (length(hash) = 32)   -- SHA-256 of the hash before and of this entry
);
CREATE INDEX audit_of_user ON audit (user_name, id);
CREATE FUNCTION refuse_change_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_v1();

-- What is to be computed, as its owner described it. Documents are kept as they were on the wire.
CREATE TABLE worksteps (
    id uuid PRIMARY KEY,
    owner text NOT NULL,                            -- the user
    name text NOT NULL,
    request jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX worksteps_owner ON worksteps (owner, id);

-- The answers of all sites to one question.
CREATE TABLE offersets (
    id uuid PRIMARY KEY,
    workstep uuid REFERENCES worksteps,             -- NULL: the question was asked without one
    owner text NOT NULL,                            -- the user
    document jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    chosen uuid                                     -- its offer that was accepted, or is about to be; NULL: none, or that came to nothing
);

-- Whose an offer is, and which site to ask about it. What has become of it, the site's broker knows.
CREATE TABLE offers (
    id uuid PRIMARY KEY,
    offerset uuid NOT NULL REFERENCES offersets,
    site text NOT NULL,
    grantee jsonb                                   -- for whom the site may act, since it was accepted: user, roles, groups
);
CREATE INDEX offers_offerset ON offers (offerset);

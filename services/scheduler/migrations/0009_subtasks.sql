-- What a running task creates: a submission with a parent, which stays OPEN, and so unseen, until the parent's attempt
-- completes (docs/adr/0013-subtasks.md).
ALTER TABLE submissions
    ADD COLUMN parent uuid,
    ADD COLUMN parent_attempt smallint,
    ADD COLUMN sealed boolean NOT NULL DEFAULT false; -- all of it is there, and checked
CREATE INDEX submissions_unborn ON submissions (id) WHERE parent IS NOT NULL AND status = 1;

ALTER TABLE tasks ADD COLUMN parent uuid;

-- Results that become what is said here when the parent completes.
CREATE TABLE promised (
    submission uuid NOT NULL REFERENCES submissions ON DELETE CASCADE,
    id uuid NOT NULL,
    delegated boolean NOT NULL, -- an expected output of the parent; otherwise the parent created it
    owner uuid,                 -- the child that produces it
    name text NOT NULL DEFAULT '',
    size bigint NOT NULL DEFAULT 0,
    data bytea,
    object text,
    PRIMARY KEY (submission, id)
);

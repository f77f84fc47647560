-- Tasks that are ready, and that no worker who could take them has the function for (docs/adr/0023-function-placement.md).

-- What was chosen and could not be placed, or came back from a worker without its function. An entry holds while the task is
-- PENDING in this attempt; whoever reads it checks that, so nobody who changes a task has to look here.
CREATE TABLE unplaced (
    partition smallint NOT NULL,
    function text NOT NULL,
    task uuid NOT NULL,
    attempt smallint NOT NULL,
    session uuid NOT NULL,
    PRIMARY KEY (partition, function, task)
);
CREATE INDEX unplaced_session ON unplaced (session);

-- The function of all its tasks; NULL: they have several, or nobody has looked. A lane whose function no worker has is not
-- chosen from, which costs nothing for each of its tasks.
ALTER TABLE lanes ADD COLUMN function text;

-- Why a worker runs nothing, or less than its slots, at the moment; empty: it is well.
ALTER TABLE workers ADD COLUMN unwell text NOT NULL DEFAULT '';

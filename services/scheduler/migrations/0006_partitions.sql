-- What a partition has a right to. A deleted one keeps its row, as tasks that ended there name it; made anew it gets it back.
ALTER TABLE partitions
    ADD COLUMN priority smallint NOT NULL DEFAULT 1, -- on workers that serve several, the higher one's tasks begin first
    ADD COLUMN reserve integer NOT NULL DEFAULT 0,   -- slots for which others are preempted
    ADD COLUMN most integer,                         -- most tasks outstanding at once; NULL: no limit
    ADD COLUMN deleted_at timestamptz;

ALTER TABLE workers ADD COLUMN partitions text[] NOT NULL DEFAULT '{}'; -- all that it serves; `partition` is the first

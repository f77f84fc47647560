-- When a chunk came: a submission is abandoned an hour after its newest one, not an hour after it began.
ALTER TABLE chunks ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();

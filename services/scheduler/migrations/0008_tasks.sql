-- What a task's options say of its application: {name, version, namespace, service} as far as said; most tasks say nothing.
ALTER TABLE tasks ADD COLUMN application jsonb;
-- Whether any of a submission's tasks names one: only then they are looked up before the tasks are sent.
ALTER TABLE submissions ADD COLUMN applications boolean NOT NULL DEFAULT false;
-- An attempt's whole story. `status`: how it ended, RETRIED (9) unless somebody ran a task anew that had ended otherwise.
ALTER TABLE attempts ADD COLUMN started_at timestamptz, ADD COLUMN status smallint NOT NULL DEFAULT 9;

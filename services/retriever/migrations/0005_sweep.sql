-- Retrieval storage is swept by age. `addresses_until`: until when somebody may download from it without asking again.
-- `swept_at`: when datablocks of it were removed.

ALTER TABLE retrievals ADD COLUMN addresses_until timestamptz, ADD COLUMN swept_at timestamptz;

CREATE INDEX blocks_of_archive_id ON blocks (archive_id);

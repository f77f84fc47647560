-- When the last datablock of a retrieval was brought back: it stays for a while from then on, however long that took.
ALTER TABLE retrievals ADD COLUMN back_at timestamptz;

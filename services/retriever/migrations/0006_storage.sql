-- On which storage a datablock is, as the catalogue says it. NULL: in a retrieval from before that was noted.
ALTER TABLE blocks ADD COLUMN storage text;

-- Which tokens came from the admin's token file: a new one there revokes those before it.
ALTER TABLE tokens ADD COLUMN from_file boolean NOT NULL DEFAULT false;
-- The first of the admin's tokens was always the file's.
UPDATE tokens SET from_file = true
WHERE id = (SELECT id FROM tokens WHERE user_name = 'admin' ORDER BY id LIMIT 1);

-- The submission that a task came with: its id without the line.
CREATE OR REPLACE FUNCTION submission_of_v1(_task uuid) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (left(_task::text, 28) || '00000000')::uuid
$$;

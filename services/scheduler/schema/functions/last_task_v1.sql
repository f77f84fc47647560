-- The highest id that a task of a submission can have.
CREATE OR REPLACE FUNCTION last_task_v1(_submission uuid) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (left(_submission::text, 28) || 'ffffffff')::uuid
$$;

-- A task's line in its submission: the last 32 bits of its id.
CREATE OR REPLACE FUNCTION line_of_v1(_task uuid) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || right(_task::text, 8))::bit(32)::integer
$$;

-- An effect: `_tasks` tasks of one partition and function have completed; `_example` is one of them.
CREATE OR REPLACE FUNCTION effect_ended_v1(_example uuid, _partition smallint, _function text, _tasks bigint) RETURNS effect
LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW('ended', _example, NULL, _partition, NULL, NULL, NULL, NULL, _function, NULL, NULL, NULL, NULL,
               _tasks, NULL, NULL, NULL)::effect
$$;

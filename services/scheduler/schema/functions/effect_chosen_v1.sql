-- An effect: this task was chosen, in this epoch of its session, and is to be put into the queue.
CREATE OR REPLACE FUNCTION effect_chosen_v1(_task tasks, _epoch integer) RETURNS effect LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW('chosen', _task.id, _task.session, _task.partition, _task.priority, _task.attempt, _epoch,
               _task.max_duration, _task.function, _task.payload, _task.payload_result, _task.inputs, _task.outputs,
               NULL, NULL, NULL, NULL)::effect
$$;

-- One task with one output, which is what a chain's hop is: does what `complete_v1` does, by the plainest statements there are
-- (docs/adr/0018-late-acks-and-short-submissions.md), and returns the same.
CREATE OR REPLACE FUNCTION complete_one_v1(
    _task uuid, _attempt smallint, _result uuid, _size bigint, _data bytea, _object text,
    _partitions smallint[], _credits integer[]
) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _session uuid;
    _partition smallint;
    _function text;
    _waiting uuid[];
    _runs boolean;
    _epoch integer;
    _next tasks;
    _event outbox; -- in a variable: effect_event_v1 is expanded in place only then
BEGIN
    UPDATE tasks SET status = {task.completed}, ended_at = now()
    WHERE id = _task AND attempt = _attempt AND status IN ({task.open}) AND remaining = 0 AND cardinality(outputs) = 1
    RETURNING session, partition, function INTO _session, _partition, _function;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM running WHERE task = _task;
    UPDATE results SET status = {result.completed}, size = _size, data = _data, object = _object, completed_at = now()
    WHERE id = _result AND owner = _task AND status = {result.created};
    IF NOT FOUND THEN
        RAISE data_exception USING MESSAGE = 'the outputs reported are not the outputs of their task';
    END IF;
    RETURN NEXT effect_ended_v1(_task, _partition, _function, 1);

    _waiting := ARRAY(SELECT task FROM dependencies WHERE result = _result LIMIT 2);
    IF cardinality(_waiting) = 1 THEN
        SELECT status = {session.running}, epoch INTO _runs, _epoch FROM sessions WHERE id = _session FOR SHARE;
        UPDATE tasks SET remaining = remaining - 1,
            status = CASE WHEN remaining = 1 AND status = {task.pending} AND _runs AND partition = ANY(_partitions)
                THEN {task.submitted} ELSE status END
        WHERE id = _waiting[1] RETURNING * INTO _next;
        IF _next.remaining = 0 AND _next.status = {task.submitted} THEN
            RETURN NEXT effect_chosen_v1(_next, _epoch);
        ELSIF _next.remaining = 0 AND _next.status = {task.pending} THEN
            RETURN QUERY SELECT * FROM choose_v1(_waiting, _partitions, _credits);
        END IF;
    ELSIF cardinality(_waiting) > 1 THEN
        RETURN QUERY SELECT * FROM count_down_v1(ARRAY[_result], _partitions, _credits);
    END IF;

    _event := emit_task_changed_v1(_session, ARRAY[_task], ARRAY[_result]);
    RETURN NEXT effect_event_v1(_event);
END $$;

-- A completed task that has created tasks or results, and what becomes true with it (docs/adr/0013-subtasks.md). Returns effects as
-- `complete_v1` does, none if the report does not count. It raises an exception if the task cannot complete like this: then
-- nothing has happened. `_submission`: what it has created; `_ids` and the next four: its outputs. Locks in the order of `complete_v1`.
CREATE OR REPLACE FUNCTION complete_parent_v1(
    _task uuid, _attempt smallint, _submission uuid,
    _ids uuid[], _sizes bigint[], _data bytea[], _objects text[], _checksums text[],
    _partitions smallint[], _credits integer[]
) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _session uuid;
    _open boolean;
    _parent tasks;
    _tasks integer;
    _outside boolean;
    _left uuid[];
    _made uuid[];
    _created uuid[];
    _ready uuid[];
BEGIN
    UPDATE tasks SET status = {task.completed}, ended_at = now()
    WHERE id = _task AND attempt = _attempt AND status IN ({task.open}) AND remaining = 0 RETURNING * INTO _parent;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    _session := _parent.session;
    DELETE FROM running WHERE task = _task;
    UPDATE submissions SET status = {submission.visible}
    WHERE id = _submission AND parent = _task AND parent_attempt = _attempt AND status = {submission.open} AND sealed
    RETURNING tasks, outside INTO _tasks, _outside;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not all of submission % has arrived', _submission;
    END IF;

    -- Each expected output goes to a child, or gets its value here.
    WITH given AS (
        UPDATE results r SET owner = p.owner FROM promised p
        WHERE p.submission = _submission AND p.delegated AND r.id = p.id AND r.owner = _task AND r.status = {result.created}
        RETURNING r.id
    )
    SELECT array_agg(id) INTO _left FROM given;
    WITH made AS (
        UPDATE results r SET status = {result.completed}, size = o.size, data = o.data, object = o.object,
            checksum = decode(o.checksum, 'hex'), completed_at = now()
        FROM unnest(_ids, _sizes, _data, _objects, _checksums) AS o(id, size, data, object, checksum)
        WHERE r.id = o.id AND r.owner = _task AND r.status = {result.created} RETURNING r.id
    )
    SELECT array_agg(id) INTO _made FROM made;
    IF coalesce(cardinality(_made), 0) <> cardinality(_ids)
        OR cardinality(_ids) + coalesce(cardinality(_left), 0) <> cardinality(_parent.outputs)
    THEN
        RAISE EXCEPTION 'reported % outputs and delegated %, % are expected',
            cardinality(_ids), coalesce(cardinality(_left), 0), cardinality(_parent.outputs);
    END IF;
    WITH created AS (
        INSERT INTO results (id, session, standalone, status, owner, size, name, data, object, checksum, created_at,
                             completed_at)
        SELECT p.id, _session, true, CASE WHEN c.complete THEN {result.completed} ELSE {result.created} END, p.owner, p.size,
               p.name, p.data, p.object, p.checksum, now(), CASE WHEN c.complete THEN now() END
        FROM promised p CROSS JOIN LATERAL (SELECT p.data IS NOT NULL OR p.object IS NOT NULL AS complete) AS c
        WHERE p.submission = _submission AND NOT p.delegated RETURNING id, status
    )
    SELECT array_agg(id) INTO _created FROM created WHERE status = {result.completed};
    DELETE FROM promised WHERE submission = _submission;
    SELECT s.status IN ({session.open}) AND s.worker_submission INTO _open FROM sessions s WHERE s.id = _session FOR SHARE;
    IF NOT _open THEN
        RAISE EXCEPTION 'session % takes no tasks or results from its tasks any more', _session;
    END IF;

    RETURN NEXT effect_ended_v1(_task, _parent.partition, _parent.function, 1);
    -- Children that wait for its outputs are counted down with all others, and begin afterwards.
    IF _made IS NOT NULL THEN
        RETURN QUERY SELECT * FROM count_down_v1(_made, _partitions, _credits);
    END IF;
    IF _outside THEN
        WITH begun AS (
            UPDATE tasks SET status = {task.pending}
            WHERE id >= _submission AND id <= last_task_v1(_submission) AND status = {task.creating}
            RETURNING id, remaining
        )
        SELECT array_agg(id) INTO _ready FROM begun WHERE remaining = 0;
        IF _ready IS NOT NULL THEN
            RETURN QUERY SELECT * FROM choose_v1(_ready, _partitions, _credits);
        END IF;
    END IF;

    -- The children first: who counts what has ended must know of them. An event fits in a message.
    IF _tasks > 0 THEN
        RETURN NEXT effect_event_v1(emit_submission_visible_v1(_session, _submission, _tasks, ''));
    END IF;
    RETURN NEXT effect_event_v1(emit_task_changed_v1(_session, ARRAY[_task], _made));
    FOR _first IN 1 .. coalesce(cardinality(_created), 0) BY 8000 LOOP
        RETURN NEXT effect_event_v1(emit_task_changed_v1(_session, NULL, _created[_first:_first + 7999]));
    END LOOP;
END $$;

-- Writes an event into the outbox: what has completed in a session. Either list may be NULL. Frame: shared/contracts/events.py.
CREATE OR REPLACE FUNCTION emit_task_changed_v1(_session uuid, _completed uuid[], _results uuid[]) RETURNS outbox
LANGUAGE plpgsql AS $$
DECLARE
    _event outbox;
BEGIN
    INSERT INTO outbox (subject, body)
    VALUES ('hr.evt.task.changed.' || _session, convert_to('{"session":"' || _session || '"'
        || coalesce(',"completed":["' || array_to_string(_completed, '","') || '"]', '')
        || coalesce(',"results":["' || array_to_string(_results, '","') || '"]', '') || '}', 'UTF8'))
    RETURNING * INTO _event;
    RETURN _event;
END $$;

-- Writes an event into the outbox: a submission of so many tasks counts from now on. Frame: shared/contracts/events.py.
CREATE OR REPLACE FUNCTION emit_submission_visible_v1(_session uuid, _submission uuid, _tasks integer, _trace text)
RETURNS outbox LANGUAGE plpgsql AS $$
DECLARE
    _event outbox;
BEGIN
    INSERT INTO outbox (subject, body, trace)
    VALUES ('hr.evt.submission.visible.' || _session, convert_to('{"session":"' || _session || '","submission":"'
        || _submission || '","tasks":' || _tasks || '}', 'UTF8'), _trace)
    RETURNING * INTO _event;
    RETURN _event;
END $$;

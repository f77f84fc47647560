-- A short submission in one statement, where a dozen would take longer than all that becomes of it
-- (docs/adr/0018-late-acks-and-short-submissions.md): one that comes whole, waits for nothing of others and claims nothing is visible at
-- once. `_choose`: there is credit for all that are ready, which are chosen with it, as if their lanes had been passed; unless
-- the session is paused. Returns what was chosen ('chosen') and the event ('event'); nothing, and has done nothing, if the session
-- takes none or the submission is there already: whoever asks again step by step finds out which.
--
-- `_tasks` to `_applications`: the columns of the tasks; inputs and outputs come as the text of an array, since arrays of arrays of
-- different lengths cannot. `_results`, `_owners`: their outputs. `_needed`, `_needing`: edges. `_partitions` to `_upto`: lanes.
CREATE OR REPLACE FUNCTION submit_v1(
    _submission uuid, _session uuid, _owner text, _options jsonb, _trace text, _digest bytea, _named boolean,
    _tasks uuid[], _deps integer[], _in smallint[], _with smallint[], _retries smallint[], _durations real[], _functions text[],
    _payloads bytea[], _payload_results uuid[], _inputs text[], _outputs text[], _labels text[], _applications text[],
    _results uuid[], _owners uuid[], _needed uuid[], _needing uuid[],
    _partitions smallint[], _priorities smallint[], _upto integer[], _choose boolean
) RETURNS SETOF effect
LANGUAGE plpgsql AS $$
DECLARE
    _epoch integer;
    _runs boolean;
BEGIN
    SELECT s.epoch, s.status = {session.running} INTO _epoch, _runs FROM sessions s
    WHERE s.id = _session AND s.status IN ({session.open}) AND s.client_submission FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO submissions (id, session, owner, status, options, trace, tasks, applications)
    VALUES (_submission, _session, _owner, {submission.visible}, _options, _trace, cardinality(_tasks), _named) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO chunks (submission, number, first_line, tasks, digest, cross_chunk, outside, claims, applications)
    VALUES (_submission, 0, 0, cardinality(_tasks), _digest, false, false, false, _named);
    INSERT INTO tasks (id, session, remaining, deps, status, attempt, partition, priority, max_retries, max_duration, function,
                       payload, payload_result, inputs, outputs, labels, application)
    SELECT t.id, _session, t.deps, t.deps, {task.pending}, 0, t.partition, t.priority, t.retries, t.duration, t.function,
           t.payload, t.payload_result, t.inputs::uuid[], t.outputs::uuid[], t.labels::jsonb, t.application::jsonb
    FROM unnest(_tasks, _deps, _in, _with, _retries, _durations, _functions, _payloads, _payload_results, _inputs, _outputs,
                _labels, _applications)
        AS t(id, deps, partition, priority, retries, duration, function, payload, payload_result, inputs, outputs, labels,
             application);
    INSERT INTO results (id, session, standalone, status, owner, created_at)
    SELECT r.id, _session, false, {result.created}, r.owner, now() FROM unnest(_results, _owners) AS r(id, owner);
    IF cardinality(_needed) > 0 THEN
        INSERT INTO dependencies (result, task) SELECT * FROM unnest(_needed, _needing);
    END IF;
    INSERT INTO lanes (submission, session, partition, priority, upto, cursor)
    SELECT _submission, _session, l.partition, l.priority, l.upto, CASE WHEN _choose AND _runs THEN l.upto ELSE 0 END
    FROM unnest(_partitions, _priorities, _upto) AS l(partition, priority, upto);
    IF _choose AND _runs THEN
        RETURN QUERY SELECT 'chosen', t.id, _session, t.partition, t.priority, 0::smallint, _epoch, t.duration, t.function,
            t.payload, NULL::uuid, NULL::uuid[], t.outputs::uuid[], NULL::bigint, NULL::bigint, NULL::text, NULL::bytea
            FROM unnest(_tasks, _deps, _in, _with, _durations, _functions, _payloads, _outputs)
                AS t(id, deps, partition, priority, duration, function, payload, outputs) WHERE t.deps = 0;
    END IF;
    RETURN NEXT effect_event_v1(emit_submission_visible_v1(_session, _submission, cardinality(_tasks), _trace));
END $$;

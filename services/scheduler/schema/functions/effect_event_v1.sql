-- An effect: this row of the outbox is to be published.
CREATE OR REPLACE FUNCTION effect_event_v1(_event outbox) RETURNS effect LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW('event', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
               NULL, _event.id, _event.subject, _event.body)::effect
$$;

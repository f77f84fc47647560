-- Where a test wants to hold the work up: a row names a place and a dataset (or a session, in the same column), and who comes
-- there waits for an advisory lock of the row's number, which the test has.
DROP SCHEMA IF EXISTS stops CASCADE;
CREATE SCHEMA stops;
CREATE TABLE stops.places (number integer PRIMARY KEY, place text NOT NULL, pid text NOT NULL, UNIQUE (place, pid));

CREATE FUNCTION stops.stop(at text, dataset text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE held integer := (SELECT number FROM stops.places WHERE place = at AND pid = dataset);
BEGIN
    IF held IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(held);
    END IF;
END $$;

-- A step has done its work, and is about to count: the transaction that moves its chain.
CREATE FUNCTION stops.chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM stops.stop(OLD.kind || '.' || OLD.step_name, coalesce(OLD.state ->> 'pid', OLD.state ->> 'session'));
    RETURN NEW;
END $$;

-- A datablock's tar is there, and its row is about to say so.
CREATE FUNCTION stops.datablock() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM stops.stop('datablock.' || NEW.number || '.' || NEW.state, pid) FROM archiver.datasets WHERE id = NEW.dataset;
    RETURN NEW;
END $$;

-- A result has got its value, and the retrieval is about to note it.
CREATE FUNCTION stops.produced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM stops.stop('produced.' || NEW.path, pid) FROM retriever.retrievals WHERE id = NEW.retrieval;
    RETURN NEW;
END $$;

CREATE TRIGGER stop BEFORE UPDATE ON archiver.chains
    FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch) EXECUTE FUNCTION stops.chain();
CREATE TRIGGER stop BEFORE UPDATE ON scheduler.chains
    FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch) EXECUTE FUNCTION stops.chain();
CREATE TRIGGER stop BEFORE UPDATE ON retriever.chains
    FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch) EXECUTE FUNCTION stops.chain();
CREATE TRIGGER stop BEFORE UPDATE ON archiver.datablocks
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION stops.datablock();
CREATE TRIGGER stop BEFORE UPDATE ON retriever.requested_files
    FOR EACH ROW WHEN (NEW.produced AND NOT OLD.produced) EXECUTE FUNCTION stops.produced();

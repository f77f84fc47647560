-- Advisory locks, kept apart: one service cannot take another's. PostgreSQL has them per database, for whoever may connect, and
-- services share one. So nobody takes them directly, but by these functions, whose keys begin with a number of the session's role.
-- For a database of your own: psql -d headrace -f deploy/local/locks.sql, as a superuser, after the roles are there.

-- name: separate_locks
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('headrace.roles', 0));
DO $$
DECLARE
    taking regprocedure;
BEGIN
    FOR taking IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_(xact_)?lock(_shared)?$'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', taking);
    END LOOP;
END $$;

CREATE SCHEMA IF NOT EXISTS locks;

-- 8 bits for who asks (`session_user`, which no role can change), 56 for what.
CREATE OR REPLACE FUNCTION locks.key(name text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_position(
        ARRAY['headrace_gateway', 'headrace_scheduler', 'headrace_archiver', 'headrace_retriever', 'headrace_broker']::name[],
        session_user), 0)::bigint << 56 | (hashtextextended(name, 0) & ((1::bigint << 56) - 1))
$$;

-- Until the transaction ends; waits.
CREATE OR REPLACE FUNCTION locks.lock(name text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_advisory_xact_lock(locks.key(name))
$$;

-- The same, beside others who share it.
CREATE OR REPLACE FUNCTION locks.lock_shared(name text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_advisory_xact_lock_shared(locks.key(name))
$$;

-- Until `release`, or the connection ends; false if another session has it.
CREATE OR REPLACE FUNCTION locks.try_hold(name text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_try_advisory_lock(locks.key(name))
$$;

CREATE OR REPLACE FUNCTION locks.release(name text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_advisory_unlock(locks.key(name))
$$;

DO $$
DECLARE
    service name;
BEGIN
    FOR service IN SELECT rolname FROM pg_roles WHERE rolname ~ '^headrace_(gateway|scheduler|archiver|retriever|broker)$' LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA locks TO %I', service);
    END LOOP;
END $$;
COMMIT;

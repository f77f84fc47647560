-- Roles, schemas and rights. Idempotent: run at every start, and on every database that a test makes.
-- A block that cannot take parameters reads them from settings of the session (see `let`).

-- name: let
SELECT set_config('headrace.service', :service, false), set_config('headrace.password', :password, false);

-- name: database_exists
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :name);

-- name: create_database
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING ''UTF8''', :name::text);

-- name: drop_database
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', :name::text);

-- name: role
DO $$
DECLARE
    owner text := 'headrace_' || current_setting('headrace.service');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('headrace.roles', 0));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = owner) THEN
        EXECUTE format('CREATE ROLE %I', owner);
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L',
                   owner, current_setting('headrace.password'));
    EXECUTE format('ALTER ROLE %I SET search_path = %I', owner, current_setting('headrace.service'));
END $$;

-- name: close_to_public
-- In the session's database: nobody comes in, and nobody makes anything, but by the grants of `schema`.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('headrace.roles', 0));
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
END $$;

-- name: close_templates
-- The databases that a server has from its start: by default every role may connect to them, and take up connections, and
-- disturb whoever makes a database (CREATE DATABASE needs its template for itself).
REVOKE ALL ON DATABASE template1, postgres FROM PUBLIC;

-- name: schema
DO $$
DECLARE
    service text := current_setting('headrace.service');
    owner text := 'headrace_' || service;
BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), owner);
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', service);
    EXECUTE format('ALTER SCHEMA %I OWNER TO %I', service, owner);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', service);
END $$;

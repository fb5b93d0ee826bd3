-- Last good values. Says the same as last_good.py; see there for the meaning.

CREATE TABLE {schema}.last_good (
    key bytea PRIMARY KEY,
    value text NOT NULL,                                -- JSON
    stored_at bigint NOT NULL,
    expires bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION {schema}.last_good_store_1(p_key bytea, p_value text, p_keep bigint, OUT stored_at bigint)
LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    now bigint := {schema}.now_ns();
BEGIN
    INSERT INTO {schema}.last_good AS g VALUES (p_key, p_value, now, now + p_keep)
        ON CONFLICT (key) DO UPDATE SET value = p_value, stored_at = now, expires = now + p_keep;
    stored_at := now;
END
$$;

CREATE FUNCTION {schema}.last_good_fetch_1(p_key bytea, OUT value text, OUT age bigint) LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {schema}.now_ns();
BEGIN
    SELECT g.value, greatest(0, now - g.stored_at) INTO value, age
        FROM {schema}.last_good g WHERE g.key = p_key AND g.expires > now;
END
$$;

-- The simplest feature there is: what the storages are tested with.

CREATE TABLE {schema}.counter (
    key bytea PRIMARY KEY, total bigint NOT NULL, seen bigint NOT NULL, expires bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION {schema}.counter_add_1(p_key bytea, p_by bigint, OUT total bigint, OUT at bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT * INTO total, at FROM {schema}.counter_add_all_1(ARRAY[p_key], p_by);
END
$$;

CREATE FUNCTION {schema}.counter_add_all_1(p_keys bytea[], p_by bigint, OUT total bigint, OUT at bigint)
LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
BEGIN
    INSERT INTO {schema}.counter SELECT key, 0, 0, 0 FROM unnest(p_keys) AS key ORDER BY key ON CONFLICT DO NOTHING;
    PERFORM FROM {schema}.counter c WHERE c.key = ANY (p_keys) ORDER BY c.key FOR NO KEY UPDATE;
    SELECT greatest({schema}.now_ns(), max(c.seen)) INTO at FROM {schema}.counter c WHERE c.key = ANY (p_keys);
    UPDATE {schema}.counter c
    SET total = CASE WHEN c.expires > at THEN c.total ELSE 0 END + p_by, seen = at, expires = at + 1000000000
    WHERE c.key = ANY (p_keys);
    SELECT sum(c.total) INTO total FROM {schema}.counter c WHERE c.key = ANY (p_keys);
END
$$;

CREATE FUNCTION {schema}.counter_echo_1(
    p_key bytea, INOUT i bigint, INOUT f float8, INOUT t text, INOUT b boolean, INOUT n bigint,
    INOUT li bigint[], INOUT lf float8[], INOUT lt text[]
) LANGUAGE plpgsql AS $$
BEGIN
END
$$;

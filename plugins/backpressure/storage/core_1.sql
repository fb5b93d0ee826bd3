-- What every feature builds on.

-- Nanoseconds since 1970-01-01 UTC, at the instant of the call: now() would be the transaction's start.
CREATE FUNCTION {schema}.now_ns() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
$$;

-- Deletes expired rows from some 64 pages of a table, chosen at random: the cost is bounded whatever the table's size, and
-- no index on the expiry is needed, which every update would have to maintain.
CREATE FUNCTION {schema}.sweep_1(target regclass, OUT deleted bigint) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    pages bigint := pg_relation_size(target) / current_setting('block_size')::bigint;
    first bigint := floor(random() * greatest(pages - 63, 1));
BEGIN
    EXECUTE format(
        'DELETE FROM %s WHERE ctid >= %L::tid AND ctid < %L::tid AND expires < {schema}.now_ns()',
        target, format('(%s,0)', first), format('(%s,0)', first + 64)
    );
    GET DIAGNOSTICS deleted = ROW_COUNT;
END
$$;

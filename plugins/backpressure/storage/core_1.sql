-- What every feature builds on.

-- Nanoseconds since 1970-01-01 UTC, at the instant of the call: now() would be the transaction's start. A double holds
-- microseconds since 1970 exactly until the year 2255.
CREATE FUNCTION {schema}.now_ns() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (date_part('epoch', clock_timestamp()) * 1000000)::bigint * 1000
$$;

-- Deletes rows that expired a minute ago or more from some 64 pages of a table, chosen at random: the cost is bounded whatever the table's size, and
-- no index on the expiry is needed, which every update would have to maintain. The minute spares the rows of keys in use.
CREATE FUNCTION {schema}.sweep_1(target regclass, OUT deleted bigint) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    pages bigint := pg_relation_size(target) / current_setting('block_size')::bigint;
    first bigint := floor(random() * greatest(pages - 63, 1));
BEGIN
    EXECUTE format(
        'DELETE FROM %s WHERE ctid >= %L::tid AND ctid < %L::tid AND expires < $1',
        target, format('(%s,0)', first), format('(%s,0)', first + 64)
    ) USING {schema}.now_ns() - 60000000000;
    GET DIAGNOSTICS deleted = ROW_COUNT;
END
$$;

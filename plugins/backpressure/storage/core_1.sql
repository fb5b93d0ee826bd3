-- What every feature builds on.

-- Nanoseconds since 1970-01-01 UTC, at the instant of the call: now() would be the transaction's start. A double holds
-- microseconds since 1970 exactly until the year 2255.
CREATE FUNCTION {schema}.now_ns() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (date_part('epoch', clock_timestamp()) * 1000000)::bigint * 1000
$$;

-- How far a record's last change lies ahead of the clock, if that is a minute or more, else 0. Then the clock was set back:
-- the record's instants are moved back as far, as if no time had passed since. Over less, its time stands still until the
-- clock has caught up.
CREATE FUNCTION {schema}.set_back_1(p_seen bigint) RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_seen - {schema}.now_ns() >= 60000000000 THEN p_seen - {schema}.now_ns() ELSE 0 END
$$;

-- A name as text, for the views: any bytes, in a database of any encoding.
CREATE FUNCTION {schema}.shown_1(p_name bytea) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN convert_from(p_name, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN encode(p_name, 'escape');
END
$$;

-- Deletes rows that expired a minute ago or more from some 64 pages of a table, chosen at random: the cost is bounded
-- whatever the table's size, and no index on the expiry is needed, which every update would have to maintain. The minute
-- spares the rows of keys in use. A row that somebody has locked is left: who waits for nobody can't be in a deadlock.
CREATE FUNCTION {schema}.sweep_1(target regclass, OUT deleted bigint) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    pages bigint := pg_relation_size(target) / current_setting('block_size')::bigint;
    first bigint := floor(random() * greatest(pages - 63, 1));
BEGIN
    EXECUTE format(
        'DELETE FROM %1$s WHERE ctid = ANY (ARRAY('
        'SELECT ctid FROM %1$s WHERE ctid >= %2$L::tid AND ctid < %3$L::tid AND expires < $1 FOR UPDATE SKIP LOCKED))',
        target, format('(%s,0)', first), format('(%s,0)', first + 64)
    ) USING {schema}.now_ns() - 60000000000;
    GET DIAGNOSTICS deleted = ROW_COUNT;
END
$$;

-- CoDel. Says the same as codel.py; see there for the meaning.

CREATE TABLE {schema}.codel (
    key bytea PRIMARY KEY,                              -- the queue's name
    first_above bigint NOT NULL DEFAULT 0,
    shedding boolean NOT NULL DEFAULT false,
    next_shed bigint NOT NULL DEFAULT 0,
    number bigint NOT NULL DEFAULT 0,
    began_at bigint NOT NULL DEFAULT 0,
    due boolean NOT NULL DEFAULT false,
    seen bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION {schema}.codel_taken_1(
    p_key bytea, p_interval bigint, p_target bigint, p_waited bigint, p_remaining bigint, OUT shed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    r {schema}.codel;
    now bigint;
    too_long boolean := false;
    shed_before bigint;
BEGIN
    LOOP
        SELECT * INTO r FROM {schema}.codel c WHERE c.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.codel (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    now := greatest({schema}.now_ns(), r.seen);
    IF {schema}.set_back_1(r.seen) > 0 THEN
        now := {schema}.now_ns();
        r.expires := 0;
    END IF;
    IF r.expires <= now THEN
        r := (p_key, 0, false, 0, 0, 0, false, 0, 0);
    END IF;
    shed := false;
    IF p_waited < p_target OR p_remaining < 1 THEN
        r.first_above := 0;
    ELSIF r.first_above = 0 THEN
        r.first_above := now + p_interval;
    ELSE
        too_long := now >= r.first_above;
    END IF;
    IF r.shedding AND NOT too_long THEN
        r.shedding := false;
        r.due := false;
    ELSIF r.shedding THEN
        IF r.due THEN
            r.next_shed := r.next_shed + round(p_interval / sqrt(r.number::float8))::bigint;
            r.due := false;
        END IF;
        IF now >= r.next_shed THEN
            r.number := r.number + 1;
            r.due := true;
            shed := true;
        END IF;
    ELSIF too_long THEN
        shed_before := r.number - r.began_at;
        r.number := CASE
            WHEN shed_before > 1 AND now - r.next_shed < 16 * p_interval THEN shed_before ELSE 1
        END;
        r.began_at := r.number;
        r.next_shed := now + round(p_interval / sqrt(r.number::float8))::bigint;
        r.shedding := true;
        r.due := false;
        shed := true;
    END IF;
    UPDATE {schema}.codel c SET
        first_above = r.first_above, shedding = r.shedding, next_shed = r.next_shed, number = r.number,
        began_at = r.began_at, due = r.due, seen = now, expires = now + 32 * p_interval + 86400000000000
        WHERE c.key = p_key;
END
$$;

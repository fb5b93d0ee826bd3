-- Rate limiters. The arithmetic is that of backpressure/limiter/transitions.py, which explains it; times and lengths of time
-- are nanoseconds. Kinds of limit: 0 GCRA, 1 sliding window, 2 calendar quota.

CREATE TABLE {schema}.limiter (
    key bytea PRIMARY KEY,                     -- the strategy's letter, a colon and the name, in UTF-8
    tat bigint NOT NULL DEFAULT 0,             -- GCRA: theoretical arrival time
    size bigint NOT NULL DEFAULT 0,            -- sliding window: slots of the ring of starts
    period_no bigint NOT NULL DEFAULT 0,       -- quota: number of the day or month
    used bigint NOT NULL DEFAULT 0,            -- quota: permits in it; sliding window: units ever started, the ring's head
    blocked_until bigint NOT NULL DEFAULT 0,   -- a server asked for no call before
    allowance bigint,                          -- calls that a server still takes
    allowance_until bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,            -- time of the last change
    expires bigint NOT NULL DEFAULT 0          -- from then on the row means the same as none
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- The sliding windows' rings: the start of unit n lies in slot n modulo the ring's size.
CREATE TABLE {schema}.limiter_start (
    key bytea NOT NULL,
    slot bigint NOT NULL,
    at bigint NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (key, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE VIEW {schema}.limiters AS
SELECT
    {schema}.shown_1(substr(key, 3)) AS name,
    CASE substr(key, 1, 1)
        WHEN 'g' THEN 'rate' WHEN 'w' THEN 'sliding window' WHEN 'd' THEN 'daily quota' ELSE 'monthly quota'
    END AS strategy,
    to_timestamp(nullif(tat, 0) / 1e9) AS full_again_at,
    CASE WHEN substr(key, 1, 1) IN ('d', 'm') THEN used END AS used,
    to_timestamp(nullif(blocked_until, 0) / 1e9) AS blocked_until,
    CASE WHEN allowance_until > {schema}.now_ns() THEN allowance END AS server_allowance,
    to_timestamp(seen / 1e9) AS changed_at
FROM {schema}.limiter;

-- Moves a limit's record back in time with the clock, if it was set back; see set_back_1. Its caller has locked the row.
-- What was used in a day or month that has not come yet counts as used in the present one, p_number.
CREATE FUNCTION {schema}.limiter_set_back_1(p_key bytea, p_by bigint, p_number bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE {schema}.limiter l
    SET period_no = least(period_no, p_number), tat = greatest(0, tat - p_by), blocked_until = greatest(0, blocked_until - p_by),
        allowance_until = greatest(0, allowance_until - p_by), seen = seen - p_by, expires = greatest(0, expires - p_by)
    WHERE l.key = p_key;
    UPDATE {schema}.limiter_start s SET at = at - p_by, expires = expires - p_by WHERE s.key = p_key;
$$;

-- One permit of one rate. The statement in backpressure/limiter/operations.py does the usual case by itself.
CREATE FUNCTION {schema}.gcra_take_1(
    p_key bytea, p_burst bigint, p_interval bigint, p_cost bigint, p_max_wait bigint,
    OUT allowed boolean, OUT wait bigint, OUT remaining bigint
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    v_capacity constant bigint := p_burst * p_interval;
    v_increment constant bigint := p_cost * p_interval;
    v_max_wait constant bigint := least(p_max_wait, 315360000000000000);
    v_tat bigint;
    v_blocked bigint;
    v_allowance bigint;
    v_allowance_until bigint;
    v_seen bigint;
    now bigint;
BEGIN
    LOOP
        SELECT tat, blocked_until, l.allowance, allowance_until, seen
        INTO v_tat, v_blocked, v_allowance, v_allowance_until, v_seen
        FROM {schema}.limiter l WHERE l.key = p_key FOR NO KEY UPDATE;
        IF FOUND THEN
            EXIT WHEN {schema}.set_back_1(v_seen) = 0;
            PERFORM {schema}.limiter_set_back_1(p_key, {schema}.set_back_1(v_seen), NULL);
            CONTINUE;
        END IF;
        -- The first permit of a key is there at once.
        now := {schema}.now_ns();
        INSERT INTO {schema}.limiter (key, tat, seen, expires)
        VALUES (p_key, now + v_increment, now, now + v_increment) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            allowed := true;
            wait := 0;
            remaining := p_burst - p_cost;
            RETURN;
        END IF;
    END LOOP;
    -- Only now: a time read while others held the row would be older than theirs.
    now := greatest({schema}.now_ns(), v_seen);
    IF v_allowance_until <= now THEN
        v_allowance := NULL;
    END IF;
    wait := greatest(now, v_blocked, v_tat + v_increment - v_capacity) - now;
    IF p_cost > v_allowance THEN
        wait := greatest(wait, v_allowance_until - now);
    END IF;
    allowed := wait <= v_max_wait;
    IF allowed THEN
        v_tat := greatest(v_tat, now + wait) + v_increment;
        IF now + wait < v_allowance_until THEN
            v_allowance := v_allowance - p_cost;
        END IF;
        UPDATE {schema}.limiter l
        SET tat = v_tat, allowance = v_allowance, seen = now,
            expires = greatest(v_tat, v_blocked, v_allowance_until)
        WHERE l.key = p_key;
    END IF;
    remaining := CASE
        WHEN v_blocked > now THEN 0
        ELSE greatest(0, least(v_allowance, (now + v_capacity - greatest(v_tat, now)) / p_interval))
    END;
END
$$;

-- Number of the day (p_period 0) or month (1) that an instant lies in.
CREATE FUNCTION {schema}.limiter_period_1(p_period bigint, p_zone text, p_at bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    local timestamp := ('epoch'::timestamptz + (p_at / 1000000000) * interval '1 second') AT TIME ZONE p_zone;
BEGIN
    IF p_period = 0 THEN
        RETURN local::date - date '0001-01-01' + 1;
    END IF;
    RETURN extract(year FROM local)::bigint * 12 + extract(month FROM local)::bigint - 1;
END
$$;

-- First instant of a day or month.
CREATE FUNCTION {schema}.limiter_period_start_1(p_period bigint, p_zone text, p_number bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    midnight timestamp := CASE
        WHEN p_period = 0 THEN date '0001-01-01' + (p_number - 1)::int
        ELSE make_date((p_number / 12)::int, (p_number % 12)::int + 1, 1)
    END;
BEGIN
    RETURN extract(epoch FROM midnight AT TIME ZONE p_zone)::bigint * 1000000000;
END
$$;

-- When the n-th unit of a sliding window starts; null when it is forgotten, or never was.
CREATE FUNCTION {schema}.limiter_start_1(p_limiter {schema}.limiter, p_unit bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_unit < 0 OR p_unit < p_limiter.used - p_limiter.size THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT s.at FROM {schema}.limiter_start s
        WHERE s.key = p_limiter.key AND s.slot = p_unit % p_limiter.size
    );
END
$$;

CREATE FUNCTION {schema}.limiter_earliest_1(
    l {schema}.limiter, p_kind bigint, p_limit bigint, p_period bigint, p_zone text, p_now bigint, p_cost bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    start bigint := greatest(p_now, l.blocked_until);
    present bigint;
    number bigint;
BEGIN
    IF l.allowance IS NOT NULL AND p_now < l.allowance_until AND p_cost > l.allowance THEN
        start := greatest(start, l.allowance_until);
    END IF;
    IF p_kind = 0 THEN
        RETURN greatest(start, l.tat + (p_cost - p_limit) * p_period);
    ELSIF p_kind = 1 THEN
        RETURN greatest(
            start,
            {schema}.limiter_start_1(l, l.used - 1),
            {schema}.limiter_start_1(l, l.used + p_cost - 1 - p_limit) + p_period
        );
    END IF;
    present := {schema}.limiter_period_1(p_period, p_zone, start);
    number := greatest(present, l.period_no);
    IF number = l.period_no AND l.used + p_cost > p_limit THEN
        number := number + 1;
    END IF;
    IF number > present THEN
        start := greatest(start, {schema}.limiter_period_start_1(p_period, p_zone, number));
    END IF;
    RETURN start;
END
$$;

-- The row once a call is to start then; a sliding window's start is written down at once.
CREATE FUNCTION {schema}.limiter_charge_1(
    INOUT l {schema}.limiter, p_kind bigint, p_limit bigint, p_period bigint, p_zone text, p_start bigint, p_cost bigint
) LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
    ring bigint := greatest(l.size, p_limit);
    kept bigint[];
BEGIN
    IF l.allowance IS NOT NULL AND p_start < l.allowance_until THEN
        l.allowance := l.allowance - p_cost;
    END IF;
    IF p_kind = 0 THEN
        l.tat := greatest(l.tat, p_start) + p_cost * p_period;
        l.expires := greatest(l.expires, l.tat);
    ELSIF p_kind = 1 THEN
        IF ring > l.size AND l.used > 0 THEN
            -- The limit was raised: a longer ring, numbered anew from the oldest start that is left.
            SELECT coalesce(array_agg(s.at ORDER BY s.at), '{}') INTO kept
            FROM {schema}.limiter_start s WHERE s.key = l.key AND s.slot < least(l.used, l.size);
            DELETE FROM {schema}.limiter_start s WHERE s.key = l.key;
            INSERT INTO {schema}.limiter_start
            SELECT l.key, place - 1, at, at + p_period FROM unnest(kept) WITH ORDINALITY AS u (at, place);
            l.used := cardinality(kept);
        END IF;
        l.size := ring;
        INSERT INTO {schema}.limiter_start AS s
        SELECT l.key, (l.used + unit) % ring, p_start, p_start + p_period FROM generate_series(0, p_cost - 1) AS unit
        ON CONFLICT (key, slot) DO UPDATE SET at = excluded.at, expires = excluded.expires;
        l.used := l.used + p_cost;
        l.expires := greatest(l.expires, p_start + p_period);
    ELSE
        number := greatest(l.period_no, {schema}.limiter_period_1(p_period, p_zone, p_start));
        l.used := CASE WHEN number = l.period_no THEN l.used ELSE 0 END + p_cost;
        l.period_no := number;
        l.expires := greatest(l.expires, {schema}.limiter_period_start_1(p_period, p_zone, number + 1));
    END IF;
END
$$;

CREATE FUNCTION {schema}.limiter_remaining_1(
    l {schema}.limiter, p_kind bigint, p_limit bigint, p_period bigint, p_zone text, p_now bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    remaining bigint := 0;
    low bigint;
    high bigint;
    middle bigint;
    number bigint;
BEGIN
    IF l.blocked_until > p_now THEN
        RETURN 0;
    ELSIF p_kind = 0 THEN
        remaining := (p_now + p_limit * p_period - greatest(l.tat, p_now)) / p_period;
    ELSIF p_kind = 1 THEN
        IF coalesce({schema}.limiter_start_1(l, l.used - 1), 0) <= p_now THEN
            -- The oldest unit that still counts, by bisection: starts never go backwards.
            low := greatest(0, l.used - l.size);
            high := l.used;
            WHILE low < high LOOP
                middle := (low + high) / 2;
                IF coalesce({schema}.limiter_start_1(l, middle), 0) > p_now - p_period THEN
                    high := middle;
                ELSE
                    low := middle + 1;
                END IF;
            END LOOP;
            remaining := p_limit - (l.used - low);
        END IF;
    ELSE
        number := {schema}.limiter_period_1(p_period, p_zone, p_now);
        IF l.period_no <= number THEN
            remaining := p_limit - CASE WHEN l.period_no = number THEN l.used ELSE 0 END;
        END IF;
    END IF;
    IF l.allowance IS NOT NULL AND p_now < l.allowance_until THEN
        remaining := least(remaining, l.allowance);
    END IF;
    RETURN greatest(0, remaining);
END
$$;

-- An expired row means the same as none, also when the sweep has not come by yet.
CREATE FUNCTION {schema}.limiter_unless_expired_1(l {schema}.limiter, p_now bigint) RETURNS {schema}.limiter
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN l.expires > p_now THEN l ELSE ROW (l.key, 0, 0, 0, 0, 0, NULL, 0, l.seen, 0)::{schema}.limiter END
$$;

-- Any number of limits as one, any number of permits: all or nothing.
CREATE FUNCTION {schema}.limiter_take_1(
    p_keys bytea[], p_kinds bigint[], p_limits bigint[], p_periods bigint[], p_zones text[],
    p_any_of bigint, p_count bigint, p_cost bigint, p_max_wait bigint,
    OUT allowed boolean, OUT chosen bigint, OUT waits bigint[], OUT remaining bigint[], OUT now bigint
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    farthest constant bigint := 315360000000000000;
    horizon constant bigint := least(p_max_wait, farthest);
    many constant int := cardinality(p_keys);
    before {schema}.limiter[] := array_fill(NULL::{schema}.limiter, ARRAY[cardinality(p_keys)]);
    after {schema}.limiter[];
    l {schema}.limiter;
    i int;
    start bigint;
    earliest bigint;
    left_here bigint;
    left_best bigint;
BEGIN
    -- Always in the order of the keys, so that two callers never wait for each other.
    FOR i IN SELECT u.place FROM unnest(p_keys) WITH ORDINALITY AS u (key, place) ORDER BY u.key LOOP
        LOOP
            SELECT * INTO l FROM {schema}.limiter r WHERE r.key = p_keys[i] FOR NO KEY UPDATE;
            EXIT WHEN FOUND AND {schema}.set_back_1(l.seen) = 0;
            IF FOUND THEN
                PERFORM {schema}.limiter_set_back_1(
                    p_keys[i], {schema}.set_back_1(l.seen),
                    CASE p_kinds[i]
                        WHEN 2 THEN {schema}.limiter_period_1(p_periods[i], p_zones[i], {schema}.now_ns())
                    END
                );
            ELSE
                INSERT INTO {schema}.limiter (key) VALUES (p_keys[i]) ON CONFLICT DO NOTHING;
            END IF;
        END LOOP;
        before[i] := l;
        now := greatest(now, l.seen);
    END LOOP;
    now := greatest(now, {schema}.now_ns());
    FOR i IN 1..many LOOP
        before[i] := {schema}.limiter_unless_expired_1(before[i], now);
    END LOOP;

    after := before;
    waits := '{}';
    chosen := 1;
    BEGIN
        FOR permit IN 1..p_count LOOP
            start := NULL;
            FOR i IN 1..many LOOP
                earliest := {schema}.limiter_earliest_1(
                    after[i], p_kinds[i], p_limits[i], p_periods[i], p_zones[i], now, p_cost
                );
                IF p_any_of = 0 THEN
                    start := greatest(start, earliest);
                ELSE
                    left_here := {schema}.limiter_remaining_1(
                        after[i], p_kinds[i], p_limits[i], p_periods[i], p_zones[i], now
                    );
                    IF start IS NULL OR earliest < start OR (earliest = start AND left_here > left_best) THEN
                        start := earliest;
                        left_best := left_here;
                        chosen := i;
                    END IF;
                END IF;
            END LOOP;
            waits := waits || (start - now);
            -- No later permit starts earlier, and far beyond the horizon times would not fit into 64 bits.
            EXIT WHEN start - now > farthest OR (p_count = 1 AND start - now > horizon);
            FOR i IN 1..many LOOP
                IF p_any_of = 0 OR i = chosen THEN
                    after[i] := {schema}.limiter_charge_1(
                        after[i], p_kinds[i], p_limits[i], p_periods[i], p_zones[i], start, p_cost
                    );
                END IF;
            END LOOP;
        END LOOP;
        allowed := start - now <= horizon;
        IF NOT allowed AND p_count > 1 THEN
            -- Takes back the sliding windows' starts that are written already.
            RAISE EXCEPTION USING ERRCODE = 'BP001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'BP001' THEN
        NULL;
    END;
    IF NOT allowed THEN
        after := before;
        waits := waits[cardinality(waits):];
    END IF;
    remaining := '{}';
    FOR i IN 1..many LOOP
        l := after[i];
        remaining := remaining || {schema}.limiter_remaining_1(
            l, p_kinds[i], p_limits[i], p_periods[i], p_zones[i], now
        );
        IF allowed AND (p_any_of = 0 OR l IS DISTINCT FROM before[i]) THEN
            UPDATE {schema}.limiter r
            SET tat = l.tat, size = l.size, period_no = l.period_no, used = l.used, blocked_until = l.blocked_until,
                allowance = l.allowance, allowance_until = l.allowance_until, seen = now, expires = l.expires
            WHERE r.key = p_keys[i];
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION {schema}.limiter_adopt_1(
    p_key bytea, p_blocked_for bigint, p_allowance bigint, p_reset_in bigint, OUT now bigint
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    l {schema}.limiter;
    until bigint;
BEGIN
    LOOP
        SELECT * INTO l FROM {schema}.limiter r WHERE r.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.limiter (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    now := greatest({schema}.now_ns(), l.seen);
    l := {schema}.limiter_unless_expired_1(l, now);
    until := now + p_reset_in;
    IF p_allowance IS NOT NULL AND p_reset_in > 0 THEN
        IF l.allowance IS NOT NULL AND now < l.allowance_until AND until <= l.allowance_until + 2000000000 THEN
            l.allowance := least(l.allowance, p_allowance);
            l.allowance_until := least(l.allowance_until, until);
        ELSE
            l.allowance := p_allowance;
            l.allowance_until := until;
        END IF;
    END IF;
    l.blocked_until := greatest(l.blocked_until, now + p_blocked_for);
    UPDATE {schema}.limiter r
    SET tat = l.tat, size = l.size, period_no = l.period_no, used = l.used, blocked_until = l.blocked_until,
        allowance = l.allowance, allowance_until = l.allowance_until, seen = now,
        expires = greatest(l.expires, l.blocked_until, l.allowance_until)
    WHERE r.key = p_key;
END
$$;

CREATE FUNCTION {schema}.limiter_reset_1(p_keys bytea[], OUT now bigint) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    each bytea;
BEGIN
    now := {schema}.now_ns();
    -- All of them, in the order in which everybody takes them, before the starts, which belong to whoever has the row.
    FOR each IN SELECT u.key FROM unnest(p_keys) AS u (key) ORDER BY u.key LOOP
        LOOP
            PERFORM FROM {schema}.limiter r WHERE r.key = each FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO {schema}.limiter (key) VALUES (each) ON CONFLICT DO NOTHING;
        END LOOP;
    END LOOP;
    DELETE FROM {schema}.limiter_start s WHERE s.key = ANY (p_keys);
    DELETE FROM {schema}.limiter r WHERE r.key = ANY (p_keys);
END
$$;

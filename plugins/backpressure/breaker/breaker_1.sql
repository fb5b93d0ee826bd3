-- The circuit breaker. Says the same as transitions.py; see there for the meaning.

CREATE TABLE {schema}.breaker (
    key bytea PRIMARY KEY,                              -- the breaker's name
    mode text NOT NULL DEFAULT 'automatic',
    phase text NOT NULL DEFAULT 'closed',
    epoch bigint NOT NULL DEFAULT 0,
    since bigint NOT NULL DEFAULT 0,
    open_until bigint NOT NULL DEFAULT 0,
    openings int NOT NULL DEFAULT 0,
    failures bigint[] NOT NULL DEFAULT '{}',
    hosts text[] NOT NULL DEFAULT '{}',
    host_times bigint[] NOT NULL DEFAULT '{}',
    consecutive int NOT NULL DEFAULT 0,
    bucket_starts bigint[] NOT NULL DEFAULT '{}',
    bucket_calls int[] NOT NULL DEFAULT '{}',
    bucket_failures int[] NOT NULL DEFAULT '{}',
    bucket_slow int[] NOT NULL DEFAULT '{}',
    probes bigint[] NOT NULL DEFAULT '{}',
    probe_ends bigint[] NOT NULL DEFAULT '{}',
    successes int NOT NULL DEFAULT 0,
    recent bigint[] NOT NULL DEFAULT '{}',
    seen bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE VIEW {schema}.breakers AS
SELECT
    {schema}.shown_1(key) AS name,
    CASE
        WHEN mode <> 'automatic' THEN mode
        WHEN phase = 'open' AND open_until <= {schema}.now_ns() THEN 'half_open'
        ELSE phase
    END AS state,
    CASE WHEN mode = 'automatic' AND phase = 'open' THEN to_timestamp(open_until / 1e9) END AS open_until,
    openings AS openings_in_a_row,
    cardinality(probes) AS probes,
    to_timestamp(nullif(since, 0) / 1e9) AS unchanged_since,
    to_timestamp(nullif(seen, 0) / 1e9) AS counted_at
FROM {schema}.breaker
WHERE expires > {schema}.now_ns();

-- The record of a breaker that nobody has used, or whose record has expired.
CREATE FUNCTION {schema}.breaker_fresh_1(p_key bytea) RETURNS {schema}.breaker LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    r {schema}.breaker;
BEGIN
    r.key := p_key;
    r.mode := 'automatic';
    r.phase := 'closed';
    r.epoch := 0;
    r.since := 0;
    r.open_until := 0;
    r.openings := 0;
    r.failures := '{}';
    r.hosts := '{}';
    r.host_times := '{}';
    r.consecutive := 0;
    r.bucket_starts := '{}';
    r.bucket_calls := '{}';
    r.bucket_failures := '{}';
    r.bucket_slow := '{}';
    r.probes := '{}';
    r.probe_ends := '{}';
    r.successes := 0;
    r.recent := '{}';
    r.seen := 0;
    r.expires := 0;
    RETURN r;
END
$$;

CREATE FUNCTION {schema}.breaker_less_1(p_instants bigint[], p_by bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT u.at - p_by FROM unnest(p_instants) WITH ORDINALITY AS u(at, place) ORDER BY u.place)
$$;

-- A breaker's record once the clock was set back by so much; see set_back_1.
CREATE FUNCTION {schema}.breaker_set_back_1(r {schema}.breaker, p_by bigint) RETURNS {schema}.breaker
LANGUAGE plpgsql AS $$
BEGIN
    r.since := greatest(0, r.since - p_by);
    r.open_until := greatest(0, r.open_until - p_by);
    r.failures := {schema}.breaker_less_1(r.failures, p_by);
    r.host_times := {schema}.breaker_less_1(r.host_times, p_by);
    r.bucket_starts := {schema}.breaker_less_1(r.bucket_starts, p_by);
    r.probe_ends := {schema}.breaker_less_1(r.probe_ends, p_by);
    r.seen := r.seen - p_by;
    r.expires := greatest(0, r.expires - p_by);
    RETURN r;
END
$$;

CREATE FUNCTION {schema}.breaker_admit_1(
    p_key bytea, p_call bigint, p_permits int, p_lease bigint, p_open_for bigint,
    OUT allowed boolean, OUT epoch bigint, OUT probe boolean, OUT retry_after bigint, OUT phase text,
    OUT changed_from text, OUT cause text
) LANGUAGE plpgsql AS $$
DECLARE
    r {schema}.breaker;
    now bigint;
    settings text;
    calls bigint[];
    ends bigint[];
    first_end bigint;
    kept_ns constant bigint := 2592000000000000;
BEGIN
    allowed := true;
    probe := false;
    retry_after := 0;
    phase := 'closed';
    -- Once without the record to oneself, as most answers need no change, and once more with it when one is needed.
    FOR pass IN 1..2 LOOP
        IF pass = 1 THEN
            SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key;
            IF NOT FOUND THEN
                epoch := 0;
                RETURN;
            END IF;
            CONTINUE WHEN {schema}.set_back_1(r.seen) > 0;
        ELSE
            settings := {durable};
            SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key FOR NO KEY UPDATE;
            IF {schema}.set_back_1(r.seen) > 0 THEN
                r := {schema}.breaker_set_back_1(r, {schema}.set_back_1(r.seen));
                PERFORM {schema}.breaker_write_1(r);
            END IF;
        END IF;
        now := greatest({schema}.now_ns(), r.seen);
        IF r.key IS NULL OR r.expires <= now THEN
            epoch := 0;
            RETURN;
        END IF;
        epoch := r.epoch;
        IF r.mode = 'forced_open' THEN
            allowed := false;
            retry_after := p_open_for;
            phase := 'open';
            RETURN;
        ELSIF r.mode <> 'automatic' OR r.phase = 'closed' THEN
            RETURN;
        ELSIF r.phase = 'open' AND now < r.open_until THEN
            allowed := false;
            retry_after := r.open_until - now;
            phase := 'open';
            RETURN;
        END IF;
        IF r.phase = 'open' THEN
            changed_from := 'open';
            cause := 'open_time_over';
            r.phase := 'half_open';
            r.epoch := greatest(r.epoch + 1, now);
            r.since := now;
            r.probes := '{}';
            r.probe_ends := '{}';
            r.successes := 0;
        END IF;
        SELECT coalesce(array_agg(u.call), '{}'), coalesce(array_agg(u.ends), '{}'), min(u.ends)
            INTO calls, ends, first_end
            FROM unnest(r.probes, r.probe_ends) AS u(call, ends) WHERE u.ends > now AND u.call <> p_call;
        IF cardinality(calls) > 0 AND cardinality(calls) + r.successes >= p_permits THEN
            allowed := false;
            retry_after := first_end - now;
            phase := 'half_open';
            changed_from := NULL;
            cause := NULL;
            RETURN;
        END IF;
        IF pass = 1 THEN
            changed_from := NULL;
            cause := NULL;
        END IF;
    END LOOP;
    UPDATE {schema}.breaker b SET
        phase = r.phase, epoch = r.epoch, since = r.since, successes = r.successes,
        probes = calls || p_call, probe_ends = ends || (now + p_lease), seen = now, expires = now + kept_ns
        WHERE b.key = p_key;
    epoch := r.epoch;
    probe := true;
    phase := 'half_open';
END
$$;

CREATE FUNCTION {schema}.breaker_record_1(
    p_key bytea, p_call bigint, p_epoch bigint, p_result text, p_slow boolean, p_host text, p_random float8,
    p_threshold int, p_in_a_row int, p_failure_rate float8, p_slow_rate float8, p_minimum_calls int, p_window bigint,
    p_quorum int, p_permits int, p_open_for bigint, p_growth float8, p_limit bigint, p_jitter float8,
    OUT changed_from text, OUT changed_to text, OUT cause text
) LANGUAGE plpgsql AS $$
DECLARE
    r {schema}.breaker;
    was {schema}.breaker;
    now bigint;
    settings text;
    failed boolean := p_result = 'failure';
    counts_calls boolean := p_failure_rate IS NOT NULL OR p_slow_rate IS NOT NULL;
    place int;
    slice bigint;
    calls bigint;
    failures bigint;
    slow bigint;
    kept_ns constant bigint := 2592000000000000;
BEGIN
    -- First without the record to oneself when a change is unlikely: a success among successes needs none.
    FOR pass IN (CASE WHEN failed OR counts_calls THEN 2 ELSE 1 END)..2 LOOP
        IF pass = 1 THEN
            SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key;
            CONTINUE WHEN {schema}.set_back_1(r.seen) > 0;
        ELSE
            settings := {relaxed};
            LOOP
                SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key FOR NO KEY UPDATE;
                EXIT WHEN FOUND;
                INSERT INTO {schema}.breaker (key) VALUES (p_key) ON CONFLICT DO NOTHING;
            END LOOP;
            IF {schema}.set_back_1(r.seen) > 0 THEN
                r := {schema}.breaker_set_back_1(r, {schema}.set_back_1(r.seen));
                PERFORM {schema}.breaker_write_1(r);
            END IF;
        END IF;
        now := greatest({schema}.now_ns(), r.seen);
        IF r.key IS NULL OR r.expires <= now THEN
            r := {schema}.breaker_fresh_1(p_key);
        END IF;
        IF r.epoch <> p_epoch OR r.mode IN ('forced_open', 'disabled') OR r.phase = 'open' THEN
            RETURN;
        ELSIF r.phase = 'closed' AND (p_result = 'ignored' OR p_call = ANY (r.recent)
            OR (p_result = 'success' AND NOT counts_calls AND r.consecutive = 0)) THEN
            RETURN;
        END IF;
    END LOOP;

    was := r;
    IF r.phase = 'half_open' THEN
        place := array_position(r.probes, p_call);
        IF place IS NULL OR r.probe_ends[place] <= now THEN
            RETURN;
        END IF;
        IF failed OR (p_slow AND p_result = 'success') THEN
            cause := CASE WHEN failed THEN 'probe_failed' ELSE 'probe_slow' END;
        ELSIF p_result = 'success' AND r.successes + 1 >= p_permits THEN
            cause := 'probes_succeeded';
        ELSE
            UPDATE {schema}.breaker b SET
                probes = r.probes[:place - 1] || r.probes[place + 1:],
                probe_ends = r.probe_ends[:place - 1] || r.probe_ends[place + 1:],
                successes = r.successes + (p_result = 'success')::int, seen = now
                WHERE b.key = p_key;
            RETURN;
        END IF;
    ELSE
        r.consecutive := CASE WHEN failed THEN r.consecutive + 1 ELSE 0 END;
        r.recent := (r.recent || p_call)[greatest(1, cardinality(r.recent) - 14):];
        r.expires := greatest(r.expires, now + p_window + kept_ns);
        IF failed AND p_threshold IS NOT NULL THEN
            r.failures := (r.failures || now)[greatest(1, cardinality(r.failures) + 2 - p_threshold):];
        END IF;
        IF (failed OR p_slow) AND p_quorum = 1 THEN
            r.hosts := ARRAY[p_host];
            r.host_times := ARRAY[now];
        ELSIF failed OR p_slow THEN
            SELECT (p_host || array_agg(u.host ORDER BY u.place))[:p_quorum],
                (now || array_agg(u.at ORDER BY u.place))[:p_quorum]
                INTO r.hosts, r.host_times
                FROM unnest(r.hosts, r.host_times) WITH ORDINALITY AS u(host, at, place) WHERE u.host <> p_host;
        END IF;
        IF counts_calls THEN
            slice := now - now % greatest(1, p_window / 20);
            place := cardinality(r.bucket_starts);
            IF r.bucket_starts[place] = slice THEN
                r.bucket_calls[place] := r.bucket_calls[place] + 1;
                r.bucket_failures[place] := r.bucket_failures[place] + failed::int;
                r.bucket_slow[place] := r.bucket_slow[place] + p_slow::int;
            ELSE
                SELECT array_agg(u.at ORDER BY u.place) || slice, array_agg(u.c ORDER BY u.place) || 1,
                    array_agg(u.f ORDER BY u.place) || failed::int, array_agg(u.s ORDER BY u.place) || p_slow::int
                    INTO r.bucket_starts, r.bucket_calls, r.bucket_failures, r.bucket_slow
                    FROM unnest(r.bucket_starts, r.bucket_calls, r.bucket_failures, r.bucket_slow)
                        WITH ORDINALITY AS u(at, c, f, s, place)
                    WHERE u.at > now - p_window;
            END IF;
        END IF;
        IF r.mode = 'automatic' AND r.host_times[p_quorum] > now - p_window THEN
            IF r.failures[cardinality(r.failures) + 1 - p_threshold] > now - p_window THEN
                cause := 'failure_threshold';
            ELSIF r.consecutive >= p_in_a_row THEN
                cause := 'consecutive_failures';
            ELSIF counts_calls THEN
                SELECT sum(u.c), sum(u.f), sum(u.s) INTO calls, failures, slow
                    FROM unnest(r.bucket_starts, r.bucket_calls, r.bucket_failures, r.bucket_slow) AS u(at, c, f, s)
                    WHERE u.at > now - p_window;
                cause := CASE
                    WHEN calls < p_minimum_calls THEN NULL
                    WHEN failures::float8 / calls >= p_failure_rate THEN 'failure_rate'
                    WHEN slow::float8 / calls >= p_slow_rate THEN 'slow_call_rate'
                END;
            END IF;
        END IF;
        IF cause IS NULL THEN
            UPDATE {schema}.breaker b SET
                mode = r.mode, phase = r.phase, epoch = r.epoch, since = r.since, openings = r.openings,
                consecutive = r.consecutive, recent = r.recent, failures = r.failures,
                hosts = r.hosts, host_times = r.host_times, bucket_starts = r.bucket_starts,
                bucket_calls = r.bucket_calls, bucket_failures = r.bucket_failures, bucket_slow = r.bucket_slow,
                seen = now, expires = r.expires
                WHERE b.key = p_key;
            RETURN;
        END IF;
    END IF;

    -- A change of the phase is on disk before anybody is told of it.
    settings := {durable};
    r := {schema}.breaker_fresh_1(p_key);
    r.epoch := greatest(was.epoch + 1, now);
    r.since := now;
    IF cause = 'probes_succeeded' THEN
        r.openings := was.openings;
        r.expires := now + p_window + kept_ns;
    ELSE
        r.phase := 'open';
        r.openings := CASE
            WHEN was.phase = 'closed' AND now - was.since >= p_window THEN 1 ELSE was.openings + 1
        END;
        r.open_until := now + round(
            least(p_open_for * power(p_growth, least(r.openings - 1, 64)), p_limit::float8) * (1 + p_jitter * p_random)
        )::bigint;
        r.expires := r.open_until + kept_ns;
    END IF;
    r.seen := now;
    PERFORM {schema}.breaker_write_1(r);
    changed_from := was.phase;
    changed_to := r.phase;
END
$$;

-- Replaces a breaker's record, which the caller has to itself.
CREATE FUNCTION {schema}.breaker_write_1(r {schema}.breaker) RETURNS void LANGUAGE sql AS $$
    UPDATE {schema}.breaker b SET
        mode = r.mode, phase = r.phase, epoch = r.epoch, since = r.since, open_until = r.open_until,
        openings = r.openings, failures = r.failures, hosts = r.hosts, host_times = r.host_times,
        consecutive = r.consecutive, bucket_starts = r.bucket_starts, bucket_calls = r.bucket_calls,
        bucket_failures = r.bucket_failures, bucket_slow = r.bucket_slow, probes = r.probes,
        probe_ends = r.probe_ends, successes = r.successes, recent = r.recent, seen = r.seen, expires = r.expires
        WHERE b.key = r.key
$$;

CREATE FUNCTION {schema}.breaker_override_1(
    p_key bytea, p_mode text, OUT changed_from text, OUT changed_to text, OUT cause text
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {durable};
    r {schema}.breaker;
    now bigint;
    shown text;
    becomes text;
    epoch bigint;
BEGIN
    LOOP
        SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.breaker (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    now := greatest({schema}.now_ns(), r.seen);
    IF r.expires <= now THEN
        r := {schema}.breaker_fresh_1(p_key);
    END IF;
    IF p_mode = r.mode AND p_mode <> 'automatic' THEN
        RETURN;
    END IF;
    shown := CASE
        WHEN r.mode <> 'automatic' THEN r.mode
        WHEN r.phase = 'open' AND now >= r.open_until THEN 'half_open'
        ELSE r.phase
    END;
    epoch := greatest(r.epoch + 1, now);
    r := {schema}.breaker_fresh_1(p_key);
    r.mode := p_mode;
    r.epoch := epoch;
    r.since := now;
    r.seen := now;
    r.expires := now + CASE WHEN p_mode = 'automatic' THEN 2592000000000000 ELSE 3153600000000000000 END;
    PERFORM {schema}.breaker_write_1(r);
    becomes := CASE WHEN p_mode = 'automatic' THEN 'closed' ELSE p_mode END;
    IF shown <> becomes THEN
        changed_from := shown;
        changed_to := becomes;
        cause := 'operator';
    END IF;
END
$$;

CREATE FUNCTION {schema}.breaker_read_1(
    p_key bytea, OUT now bigint, OUT mode text, OUT phase text, OUT epoch bigint, OUT since bigint,
    OUT open_until bigint, OUT openings int, OUT failures bigint[], OUT hosts text[], OUT host_times bigint[],
    OUT consecutive int, OUT bucket_starts bigint[], OUT bucket_calls int[], OUT bucket_failures int[],
    OUT bucket_slow int[], OUT probes bigint[], OUT probe_ends bigint[], OUT successes int, OUT recent bigint[],
    OUT expires bigint
) LANGUAGE plpgsql AS $$
DECLARE
    r {schema}.breaker;
BEGIN
    SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key;
    IF {schema}.set_back_1(r.seen) > 0 THEN
        r := {schema}.breaker_set_back_1(r, {schema}.set_back_1(r.seen));
    END IF;
    now := greatest({schema}.now_ns(), r.seen);
    IF r.key IS NULL OR r.expires <= now THEN
        r := {schema}.breaker_fresh_1(p_key);
    END IF;
    mode := r.mode;
    phase := r.phase;
    epoch := r.epoch;
    since := r.since;
    open_until := r.open_until;
    openings := r.openings;
    failures := r.failures;
    hosts := r.hosts;
    host_times := r.host_times;
    consecutive := r.consecutive;
    bucket_starts := r.bucket_starts;
    bucket_calls := r.bucket_calls;
    bucket_failures := r.bucket_failures;
    bucket_slow := r.bucket_slow;
    probes := r.probes;
    probe_ends := r.probe_ends;
    successes := r.successes;
    recent := r.recent;
    expires := r.expires;
END
$$;

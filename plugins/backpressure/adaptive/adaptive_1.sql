-- Adaptive limits. Says the same as transitions.py; see there for the meaning.

CREATE TABLE {schema}.adaptive_limit (
    key bytea PRIMARY KEY,                              -- the limit's name
    calls_allowed float8 NOT NULL DEFAULT 0,            -- 0: nothing learned yet
    baseline float8 NOT NULL DEFAULT 0,
    windows bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    began bigint NOT NULL DEFAULT 0,
    calls bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    latency bigint NOT NULL DEFAULT 0,
    inflight bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION {schema}.adaptive_sample_1(
    p_key bytea, p_latency bigint, p_dropped boolean, p_inflight bigint, p_window bigint, p_minimum bigint,
    OUT calls_allowed float8, OUT baseline float8, OUT windows bigint, OUT version bigint,
    OUT due boolean, OUT calls bigint, OUT dropped bigint, OUT latency bigint, OUT inflight bigint
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    r {schema}.adaptive_limit;
    now bigint;
BEGIN
    LOOP
        SELECT * INTO r FROM {schema}.adaptive_limit a WHERE a.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.adaptive_limit (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    IF {schema}.set_back_1(r.seen) > 0 THEN
        -- The window under way begins anew; what was learned stays.
        r.seen := 0;
        r.began := 0;
        r.calls := 0;
        r.dropped := 0;
        r.latency := 0;
        r.inflight := 0;
    END IF;
    now := greatest({schema}.now_ns(), r.seen);
    IF r.expires <= now THEN
        r := (p_key, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    END IF;
    IF r.began = 0 THEN
        r.began := now;
    END IF;
    calls_allowed := r.calls_allowed;
    baseline := r.baseline;
    windows := r.windows;
    version := r.version;
    calls := r.calls + 1;
    dropped := r.dropped + p_dropped::int;
    latency := r.latency + CASE WHEN p_dropped THEN 0 ELSE p_latency END;
    inflight := greatest(r.inflight, p_inflight);
    due := now - r.began >= p_window AND calls >= p_minimum;
    UPDATE {schema}.adaptive_limit a SET
        calls_allowed = r.calls_allowed, baseline = r.baseline, windows = r.windows, version = r.version,
        began = CASE WHEN due THEN 0 ELSE r.began END,
        calls = CASE WHEN due THEN 0 ELSE adaptive_sample_1.calls END,
        dropped = CASE WHEN due THEN 0 ELSE adaptive_sample_1.dropped END,
        latency = CASE WHEN due THEN 0 ELSE adaptive_sample_1.latency END,
        inflight = CASE WHEN due THEN 0 ELSE adaptive_sample_1.inflight END,
        seen = now, expires = now + 604800000000000
        WHERE a.key = p_key;
END
$$;

CREATE FUNCTION {schema}.adaptive_revise_1(
    p_key bytea, p_version bigint, p_calls_allowed float8, p_baseline float8, p_windows bigint, OUT revised boolean
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
BEGIN
    UPDATE {schema}.adaptive_limit a
        SET calls_allowed = p_calls_allowed, baseline = p_baseline, windows = p_windows, version = a.version + 1
        WHERE a.key = p_key AND a.version = p_version AND a.expires > {schema}.now_ns();
    revised := FOUND;
END
$$;

CREATE FUNCTION {schema}.adaptive_read_1(
    p_key bytea, OUT calls_allowed float8, OUT baseline float8, OUT windows bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.calls_allowed, a.baseline, a.windows INTO calls_allowed, baseline, windows
        FROM {schema}.adaptive_limit a WHERE a.key = p_key AND a.expires > {schema}.now_ns();
    IF NOT FOUND THEN
        calls_allowed := 0;
        baseline := 0;
        windows := 0;
    END IF;
END
$$;

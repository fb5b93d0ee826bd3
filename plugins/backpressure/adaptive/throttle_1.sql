-- The client-side throttle. Says the same as transitions.py; see there for the meaning.

CREATE TABLE {schema}.throttle (
    key bytea PRIMARY KEY,                              -- the throttle's name
    starts bigint[] NOT NULL DEFAULT '{}',
    requests bigint[] NOT NULL DEFAULT '{}',
    accepts bigint[] NOT NULL DEFAULT '{}',
    seen bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION {schema}.throttle_count_1(
    p_key bytea, p_request bigint, p_accept bigint, p_window bigint, OUT requests bigint, OUT accepts bigint
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    r {schema}.throttle;
    now bigint;
    slice bigint;
BEGIN
    LOOP
        SELECT * INTO r FROM {schema}.throttle t WHERE t.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.throttle (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    IF {schema}.set_back_1(r.seen) > 0 THEN
        r := (p_key, '{}', '{}', '{}', 0, 0);
    END IF;
    now := greatest({schema}.now_ns(), r.seen);
    slice := now - now % greatest(1, p_window / 20);
    SELECT coalesce(sum(u.r), 0), coalesce(sum(u.a), 0) INTO requests, accepts
        FROM unnest(r.starts, r.requests, r.accepts) AS u(at, r, a) WHERE u.at > now - p_window;
    SELECT array_agg(u.at ORDER BY u.at), array_agg(u.r ORDER BY u.at), array_agg(u.a ORDER BY u.at)
        INTO r.starts, r.requests, r.accepts
        FROM (
            SELECT v.at, sum(v.r)::bigint AS r, sum(v.a)::bigint AS a
            FROM (
                SELECT * FROM unnest(r.starts, r.requests, r.accepts)
                UNION ALL SELECT slice, p_request, p_accept
            ) AS v(at, r, a)
            WHERE v.at > now - p_window OR v.at = slice GROUP BY v.at
        ) AS u;
    UPDATE {schema}.throttle t SET
        starts = r.starts, requests = r.requests, accepts = r.accepts, seen = now, expires = now + p_window
        WHERE t.key = p_key;
END
$$;

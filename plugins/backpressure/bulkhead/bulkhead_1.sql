-- Bulkheads. The rules are those of backpressure/bulkhead/transitions.py, which explains them; lengths of time are
-- nanoseconds. Whoever changes a bulkhead holds its row's lock.

CREATE TABLE {schema}.bulkhead (
    key bytea PRIMARY KEY,                  -- the name in UTF-8
    arrivals bigint NOT NULL DEFAULT 0,
    virtual bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE {schema}.bulkhead_entry (
    key bytea NOT NULL,
    token text COLLATE "C" NOT NULL,
    tenant bytea NOT NULL,
    weight bigint NOT NULL,
    cost bigint NOT NULL,
    arrival bigint NOT NULL,
    granted boolean NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (key, token)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE {schema}.bulkhead_tenant (
    key bytea NOT NULL,
    tenant bytea NOT NULL,
    finished bigint NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (key, tenant)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE VIEW {schema}.bulkheads AS
SELECT
    {schema}.shown_1(e.key) AS name,
    {schema}.shown_1(e.tenant) AS tenant,
    coalesce(sum(e.cost) FILTER (WHERE e.granted), 0) AS in_use,
    count(*) FILTER (WHERE NOT e.granted) AS waiting,
    to_timestamp(min(e.expires) FILTER (WHERE e.granted) / 1e9) AS first_lease_ends_at
FROM {schema}.bulkhead_entry e
WHERE e.expires > {schema}.now_ns()
GROUP BY e.key, e.tenant;

-- Takes a bulkhead for this transaction, and clears it of what has lapsed. Its `seen` is the present.
CREATE FUNCTION {schema}.bulkhead_open_1(p_key bytea) RETURNS {schema}.bulkhead LANGUAGE plpgsql AS $$
DECLARE
    b {schema}.bulkhead;
    back bigint;
BEGIN
    LOOP
        SELECT * INTO b FROM {schema}.bulkhead r WHERE r.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.bulkhead (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    back := {schema}.set_back_1(b.seen);
    IF back > 0 THEN
        -- The clock was set back, and leases and places with it.
        UPDATE {schema}.bulkhead_entry e SET expires = e.expires - back WHERE e.key = p_key;
        UPDATE {schema}.bulkhead_tenant t SET expires = t.expires - back WHERE t.key = p_key;
        b.seen := b.seen - back;
        b.expires := b.expires - back;
    END IF;
    b.seen := greatest({schema}.now_ns(), b.seen);
    IF b.expires <= b.seen THEN
        DELETE FROM {schema}.bulkhead_tenant t WHERE t.key = p_key;
        b.arrivals := 0;
        b.virtual := 0;
    END IF;
    DELETE FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.expires <= b.seen;
    RETURN b;
END
$$;

CREATE FUNCTION {schema}.bulkhead_close_1(b {schema}.bulkhead) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_expires bigint;
BEGIN
    SELECT coalesce(max(e.expires), b.seen) INTO v_expires FROM {schema}.bulkhead_entry e WHERE e.key = b.key;
    UPDATE {schema}.bulkhead r
    SET arrivals = b.arrivals, virtual = b.virtual, seen = b.seen, expires = v_expires
    WHERE r.key = b.key;
    UPDATE {schema}.bulkhead_tenant t SET expires = v_expires WHERE t.key = b.key AND t.expires < v_expires;
END
$$;

CREATE FUNCTION {schema}.bulkhead_acquire_1(
    p_key bytea, p_token text, p_tenant bytea, p_weight bigint, p_cost bigint, p_limit bigint,
    p_lease bigint, p_patience bigint, p_arrival bigint,
    OUT granted boolean, OUT arrival bigint, OUT ahead bigint, OUT first_end bigint
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    b {schema}.bulkhead := {schema}.bulkhead_open_1(p_key);
    mine bigint;
    head bigint;
    in_use bigint;
BEGIN
    arrival := p_arrival;
    ahead := 0;
    UPDATE {schema}.bulkhead_entry e SET expires = b.seen + p_lease
    WHERE e.key = p_key AND e.token = p_token AND e.granted;
    granted := FOUND;
    IF NOT granted THEN
        IF arrival = 0 THEN
            arrival := coalesce(
                (SELECT e.arrival FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.token = p_token),
                b.arrivals + 1
            );
        END IF;
        b.arrivals := greatest(b.arrivals, arrival);
        INSERT INTO {schema}.bulkhead_entry AS e
        VALUES (p_key, p_token, p_tenant, p_weight, p_cost, arrival, false, b.seen + p_patience)
        ON CONFLICT (key, token) DO UPDATE
        SET tenant = excluded.tenant, weight = excluded.weight, cost = excluded.cost, arrival = excluded.arrival,
            expires = excluded.expires;

        WITH tagged AS (
            SELECT
                e.token, e.cost, e.arrival,
                greatest(b.virtual, coalesce(t.finished, 0)) + coalesce(sum(e.cost * 1000000 / e.weight) OVER (
                    PARTITION BY e.tenant ORDER BY e.arrival, e.token
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ), 0)::bigint AS tag
            FROM {schema}.bulkhead_entry e
            LEFT JOIN {schema}.bulkhead_tenant t ON t.key = e.key AND t.tenant = e.tenant
            WHERE e.key = p_key AND NOT e.granted
        ), queue AS (
            SELECT
                g.token, g.tag, min(g.tag) OVER () AS head,
                sum(g.cost) OVER (ORDER BY g.tag, g.arrival, g.token) - g.cost AS ahead
            FROM tagged g
        )
        SELECT q.tag, q.head, q.ahead INTO mine, head, ahead FROM queue q WHERE q.token = p_token;
        SELECT coalesce(sum(e.cost), 0) INTO in_use FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.granted;

        granted := in_use + ahead + p_cost <= p_limit;
        IF granted THEN
            b.virtual := head;
            UPDATE {schema}.bulkhead_entry e SET granted = true, expires = b.seen + p_lease
            WHERE e.key = p_key AND e.token = p_token;
            INSERT INTO {schema}.bulkhead_tenant AS t
            VALUES (p_key, p_tenant, mine + p_cost * 1000000 / p_weight, b.seen)
            ON CONFLICT (key, tenant) DO UPDATE SET finished = excluded.finished;
            DELETE FROM {schema}.bulkhead_tenant t WHERE t.key = p_key AND t.finished <= head;
        ELSIF p_patience = 0 THEN
            DELETE FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.token = p_token;
        END IF;
    END IF;
    PERFORM {schema}.bulkhead_close_1(b);
    SELECT coalesce(min(e.expires) - b.seen, 0) INTO first_end
    FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.granted;
END
$$;

CREATE FUNCTION {schema}.bulkhead_renew_1(p_key bytea, p_token text, p_lease bigint, OUT held boolean)
LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    b {schema}.bulkhead := {schema}.bulkhead_open_1(p_key);
BEGIN
    UPDATE {schema}.bulkhead_entry e SET expires = b.seen + p_lease
    WHERE e.key = p_key AND e.token = p_token AND e.granted;
    held := FOUND;
    PERFORM {schema}.bulkhead_close_1(b);
END
$$;

CREATE FUNCTION {schema}.bulkhead_release_1(p_key bytea, p_token text, OUT held boolean) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    b {schema}.bulkhead := {schema}.bulkhead_open_1(p_key);
BEGIN
    DELETE FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.token = p_token RETURNING e.granted INTO held;
    held := coalesce(held, false);
    PERFORM {schema}.bulkhead_close_1(b);
END
$$;

CREATE FUNCTION {schema}.bulkhead_count_1(p_key bytea, OUT in_use bigint, OUT waiting bigint) LANGUAGE sql AS $$
    SELECT coalesce(sum(e.cost) FILTER (WHERE e.granted), 0)::bigint, count(*) FILTER (WHERE NOT e.granted)
    FROM {schema}.bulkhead_entry e WHERE e.key = p_key AND e.expires > {schema}.now_ns()
$$;

-- The record of what was shed. Says the same as log_transitions.py; see there for the meaning.

CREATE TABLE {schema}.shed (
    key bytea NOT NULL,                                 -- the log's name
    item text NOT NULL,
    priority bigint NOT NULL,
    waited float8 NOT NULL,
    reason text NOT NULL,
    payload text NOT NULL,
    shed_at bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    claim bigint NOT NULL DEFAULT 0,
    claim_ends bigint NOT NULL DEFAULT 0,
    replayed_at bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL,
    PRIMARY KEY (key, item)
);
CREATE INDEX shed_waiting ON {schema}.shed (key, priority DESC, shed_at, item) WHERE replayed_at = 0;

CREATE FUNCTION {schema}.shed_record_1(
    p_key bytea, p_item text, p_priority bigint, p_waited float8, p_reason text, p_payload text, p_keep bigint,
    OUT fresh boolean
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {durable};
    now bigint := {schema}.now_ns();
BEGIN
    INSERT INTO {schema}.shed AS s (key, item, priority, waited, reason, payload, shed_at, expires)
        VALUES (p_key, p_item, p_priority, p_waited, p_reason, p_payload, now, now + p_keep)
        ON CONFLICT (key, item) DO UPDATE SET
            priority = p_priority, waited = p_waited, reason = p_reason, payload = p_payload, shed_at = now,
            tries = 0, claim = 0, claim_ends = 0, replayed_at = 0, expires = now + p_keep
            WHERE s.expires <= now;
    fresh := FOUND;
END
$$;

CREATE FUNCTION {schema}.shed_claim_1(
    p_key bytea, p_claim bigint, p_most bigint, p_lease bigint, p_max_tries bigint,
    OUT items text[], OUT priorities bigint[], OUT waited float8[], OUT reasons text[], OUT payloads text[],
    OUT shed_at bigint[], OUT tries bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {durable};
    now bigint := {schema}.now_ns();
BEGIN
    WITH chosen AS (
        SELECT s.key, s.item FROM {schema}.shed s
        WHERE s.key = p_key AND s.replayed_at = 0 AND s.expires > now
            AND (s.claim = p_claim OR (s.claim_ends <= now AND s.tries < p_max_tries))
        ORDER BY s.claim = p_claim DESC, s.priority DESC, s.shed_at, s.item
        LIMIT p_most FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE {schema}.shed s SET
            tries = s.tries + (s.claim <> p_claim)::int, claim = p_claim, claim_ends = now + p_lease
        FROM chosen c WHERE s.key = c.key AND s.item = c.item
        RETURNING s.*
    )
    SELECT array_agg(c.item ORDER BY c.priority DESC, c.shed_at, c.item),
        array_agg(c.priority ORDER BY c.priority DESC, c.shed_at, c.item),
        array_agg(c.waited ORDER BY c.priority DESC, c.shed_at, c.item),
        array_agg(c.reason ORDER BY c.priority DESC, c.shed_at, c.item),
        array_agg(c.payload ORDER BY c.priority DESC, c.shed_at, c.item),
        array_agg(c.shed_at ORDER BY c.priority DESC, c.shed_at, c.item),
        array_agg(c.tries ORDER BY c.priority DESC, c.shed_at, c.item)
        INTO items, priorities, waited, reasons, payloads, shed_at, tries FROM claimed c;
END
$$;

CREATE FUNCTION {schema}.shed_settle_1(p_key bytea, p_item text, p_claim bigint, p_done boolean, OUT settled boolean)
LANGUAGE plpgsql AS $$
DECLARE
    settings text := {durable};
    now bigint := {schema}.now_ns();
    r {schema}.shed;
BEGIN
    SELECT * INTO r FROM {schema}.shed s WHERE s.key = p_key AND s.item = p_item FOR NO KEY UPDATE;
    settled := r.expires > now AND r.claim = p_claim AND (r.replayed_at = 0 OR p_done);
    settled := coalesce(settled, false);
    IF settled AND r.replayed_at = 0 THEN
        UPDATE {schema}.shed s SET
            replayed_at = CASE WHEN p_done THEN now ELSE 0 END,
            claim = CASE WHEN p_done THEN s.claim ELSE 0 END, claim_ends = 0
            WHERE s.key = p_key AND s.item = p_item;
    END IF;
END
$$;

CREATE FUNCTION {schema}.shed_list_1(
    p_key bytea, p_most bigint,
    OUT items text[], OUT priorities bigint[], OUT waited float8[], OUT reasons text[], OUT payloads text[],
    OUT shed_at bigint[], OUT tries bigint[], OUT states text[]
) LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {schema}.now_ns();
BEGIN
    SELECT array_agg(c.item ORDER BY c.shed_at, c.item), array_agg(c.priority ORDER BY c.shed_at, c.item),
        array_agg(c.waited ORDER BY c.shed_at, c.item), array_agg(c.reason ORDER BY c.shed_at, c.item),
        array_agg(c.payload ORDER BY c.shed_at, c.item), array_agg(c.shed_at ORDER BY c.shed_at, c.item),
        array_agg(c.tries ORDER BY c.shed_at, c.item), array_agg(c.state ORDER BY c.shed_at, c.item)
        INTO items, priorities, waited, reasons, payloads, shed_at, tries, states
        FROM (
            SELECT s.*, CASE
                WHEN s.replayed_at > 0 THEN 'replayed' WHEN s.claim_ends > now THEN 'claimed' ELSE 'waiting'
            END AS state
            FROM {schema}.shed s WHERE s.key = p_key AND s.expires > now ORDER BY s.shed_at, s.item LIMIT p_most
        ) AS c;
END
$$;

CREATE FUNCTION {schema}.shed_count_1(p_key bytea, OUT waiting bigint, OUT claimed bigint, OUT replayed bigint)
LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {schema}.now_ns();
BEGIN
    SELECT count(*) FILTER (WHERE s.replayed_at = 0 AND s.claim_ends <= now),
        count(*) FILTER (WHERE s.replayed_at = 0 AND s.claim_ends > now), count(*) FILTER (WHERE s.replayed_at > 0)
        INTO waiting, claimed, replayed FROM {schema}.shed s WHERE s.key = p_key AND s.expires > now;
END
$$;

-- For a caller's own transaction: items are taken when it commits, and stay when it does not.
CREATE FUNCTION {schema}.shed_take_1(p_key bytea, p_most bigint)
RETURNS TABLE (
    item text, priority bigint, waited float8, reason text, payload text, shed_at bigint, tries bigint
) LANGUAGE sql AS $$
    WITH chosen AS (
        SELECT s.key, s.item FROM {schema}.shed s
        WHERE s.key = p_key AND s.replayed_at = 0 AND s.claim_ends <= {schema}.now_ns()
            AND s.expires > {schema}.now_ns()
        ORDER BY s.priority DESC, s.shed_at, s.item LIMIT p_most FOR NO KEY UPDATE SKIP LOCKED
    ), replayed AS (
        -- A claim that had lapsed must not be confirmed afterwards: this item was done by somebody else.
        UPDATE {schema}.shed s SET replayed_at = {schema}.now_ns(), tries = s.tries + 1, claim = 0, claim_ends = 0
        FROM chosen c WHERE s.key = c.key AND s.item = c.item RETURNING s.*
    )
    SELECT r.item, r.priority, r.waited, r.reason, r.payload, r.shed_at, r.tries FROM replayed r
    ORDER BY r.priority DESC, r.shed_at, r.item
$$;

-- The retry budget. Says the same as budget.py; see there for the meaning.

CREATE TABLE {schema}.retry_budget (
    key bytea PRIMARY KEY,                              -- the budget's name
    tokens float8 NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    expires bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION {schema}.retry_budget_change_1(
    p_key bytea, p_amount float8, p_capacity float8, p_refill float8,
    OUT allowed boolean, OUT tokens float8
) LANGUAGE plpgsql AS $$
DECLARE
    settings text := {relaxed};
    r {schema}.retry_budget;
    now bigint;
BEGIN
    LOOP
        SELECT * INTO r FROM {schema}.retry_budget b WHERE b.key = p_key FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {schema}.retry_budget (key) VALUES (p_key) ON CONFLICT DO NOTHING;
    END LOOP;
    now := greatest({schema}.now_ns(), r.seen - {schema}.set_back_1(r.seen));
    r.seen := least(r.seen, now);
    IF r.expires <= now THEN
        tokens := p_capacity;
    ELSE
        tokens := least(p_capacity, r.tokens + p_refill * (now - r.seen) / 1e9);
    END IF;
    allowed := tokens + p_amount >= 0;
    IF allowed THEN
        tokens := least(p_capacity, tokens + p_amount);
    END IF;
    UPDATE {schema}.retry_budget b SET tokens = retry_budget_change_1.tokens, seen = now, expires = now + 86400000000000
        WHERE b.key = p_key;
END
$$;

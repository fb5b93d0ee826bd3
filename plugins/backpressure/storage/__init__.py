"""Where the shared state lives: `MemoryStorage` for the threads of a process, `PostgresStorage` for every process.

How a feature (a limiter, a breaker, …) plugs its operations in:

1. Say what each operation does as a pure function of state and time (`Transition`):

       def _report(states, now_ns, failed):
           (state,) = states                                   # None: there is no record yet
           failures = (state or 0) + failed
           return Outcome((failures,), (failures,), keep_ns=60_000_000_000)

2. Say the same in SQL, in `<feature>_1.sql` beside your module: tables with a column `expires bigint` and one function
   for each operation, named like it. The function's first parameter is the key as `bytea` (`bytea[]` for an operation
   on `many` keys), the others are the transition's arguments in order; it returns exactly one row, the result:

       CREATE TABLE {schema}.breaker (
           key bytea PRIMARY KEY, failures bigint NOT NULL, seen bigint NOT NULL, expires bigint NOT NULL
       ) WITH (fillfactor = 50);
       CREATE FUNCTION {schema}.breaker_report_1(p_key bytea, p_failed int, OUT failures bigint) LANGUAGE plpgsql AS $$
       DECLARE
           settings text := {relaxed};                   -- or {durable}
           ...
       BEGIN
           LOOP                                          -- have the record to yourself, whether it was there or not
               SELECT * INTO r FROM {schema}.breaker b WHERE b.key = p_key FOR NO KEY UPDATE;
               EXIT WHEN FOUND;
               INSERT INTO {schema}.breaker VALUES (p_key, 0, 0, 0) ON CONFLICT DO NOTHING;
           END LOOP;
           now := greatest({schema}.now_ns(), r.seen);   -- only now: time read before the lock may be out of order
           ...

   `{schema}` is the quoted schema. `{relaxed}` makes this transaction's commit not wait for the disk, `{durable}` makes
   it wait; both bound the wait for a lock. A function that changes anything says one of them: sessions of ours are
   relaxed from the start. It may begin relaxed and end with `settings := {durable};` when it turns out to change what
   must not be lost. The script is run once, inside a transaction, the first time an operation
   of the feature finds its function missing; a later version is a further script, and never changes a published one.

3. Name them:

       FEATURE = Feature("breaker", version=1, folder=os.path.dirname(__file__), tables=("breaker",))
       REPORT = Operation("breaker_report_1", FEATURE, _report)
       (failures,) = storage.run(REPORT, ("partner_x",), 1)

`storage.run_async` takes the same. `storage.clock` is for waiting and for measuring, and is moved by hand in tests. A
test that runs the same calls on both storages under one `ManualClock` holds the SQL to the transitions.
"""

from typing import TYPE_CHECKING

from backpressure.storage.protocol import Argument, Feature, Operation, Outcome, Result, Storage, Transition

if TYPE_CHECKING:
    from backpressure.storage.memory import MemoryStorage
    from backpressure.storage.postgres import PostgresStorage

__all__ = [
    "Argument",
    "Feature",
    "MemoryStorage",
    "Operation",
    "Outcome",
    "PostgresStorage",
    "Result",
    "Storage",
    "Transition",
]


def __getattr__(name: str) -> object:
    if name == "MemoryStorage":
        from backpressure.storage.memory import MemoryStorage  # noqa: PLC0415 - each storage is loaded when it is used

        return MemoryStorage
    if name == "PostgresStorage":
        try:
            from backpressure.storage.postgres import PostgresStorage  # noqa: PLC0415 - the same
        except ModuleNotFoundError as error:
            raise ImportError(
                f"PostgresStorage needs {error.name}: pip install 'airflow-backpressure-lab[postgres]'"
            ) from error
        return PostgresStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Is the database what it should be? Each check returns what is wrong, in words; nothing is repaired.

Run by `tradesentry db check`, by tests after every fault, and later as a metric.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from tradesentry.database.schema import current, differences, dump, head, load, scratch_database
from tradesentry.database.server import Server
from tradesentry.database.session import durability

PARTITIONS: Final = r"_(default|[0-9]{4}_[0-9]{2}(_[0-9]{2})?)$"
DEFINERS: Final = {
    "account_changed", "ensure_partitions", "ignore_known_event", "keep_state_history", "link_changed", "lock_account",
    "make_lease", "make_partition", "prune_outbox", "refresh_wanted", "refuse_stale_epoch", "restrain_run",
}  # fmt: skip
"""The functions that run with the owner's rights, each read by a person."""

_COVERAGE: Final = {
    "without row-level security, enabled and forced": """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname !~ %(partitions)s
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity)""",
    "without a policy by app.user_id": """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname !~ %(partitions)s
           AND NOT EXISTS (SELECT 1 FROM pg_policies p WHERE p.tablename = c.relname AND p.policyname = 'tenant'
                            AND p.qual ~ 'app.user_id' AND p.with_check ~ 'app.user_id')""",
    "whose user_id may be null": """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT a.attnotnull""",
    "without an index that starts with user_id": """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum)""",
    "with a key to another tenant table that lacks user_id": """
        SELECT c.conrelid::regclass || '.' || c.conname FROM pg_constraint c
          JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attname = 'user_id'
          JOIN pg_attribute other ON other.attrelid = c.confrelid AND other.attname = 'user_id'
         WHERE c.contype = 'f' AND NOT own.attnum = ANY (c.conkey)""",
    "that are views without security_invoker": """
        SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
           AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)""",
    "that are partitions with grants of their own": """
        SELECT DISTINCT table_name FROM information_schema.role_table_grants
         WHERE table_schema = 'public' AND table_name ~ %(partitions)s AND grantee <> 'ts_owner'""",
    "that are functions with the owner's rights and not on the list, or without a fixed search_path": """
        SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
           AND (NOT proname = ANY (%(definers)s)
                OR NOT EXISTS (SELECT 1 FROM unnest(proconfig) s WHERE s LIKE 'search_path=%%'))""",
    "that are functions anybody may call": """
        SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
           AND (proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(proacl) WHERE grantee = 0))""",
}
_INVARIANTS: Final = {
    "orders whose filled units are not the sum of their fills": """
        SELECT o.account_id || ' ' || o.order_key FROM orders o
         WHERE o.filled_units <> (SELECT coalesce(sum(f.units), 0) FROM fills f
                                   WHERE f.account_id = o.account_id AND f.client_order_id = o.order_key)
           AND NOT o.is_external""",
    "trades whose open units are not the sum of their fills": """
        SELECT p.account_id || ' ' || p.trade_ref FROM positions p
         WHERE p.units <> abs((SELECT coalesce(sum(f.side * f.units), 0) FROM fills f
                                WHERE f.account_id = p.account_id AND f.trade_ref = p.trade_ref))""",
    "orders whose state is not that of their newest transition": """
        SELECT o.account_id || ' ' || o.order_key FROM orders o
          JOIN LATERAL (SELECT to_status FROM order_transitions t WHERE t.account_id = o.account_id AND t.seq = o.seq
                         ORDER BY n DESC LIMIT 1) t ON t.to_status <> o.status""",
    "cursors that passed over a missing event": """
        SELECT c.account_id || ' ' || c.log_id FROM event_cursors c
          JOIN LATERAL (SELECT min(seq) AS low, count(*) AS n FROM venue_events e WHERE e.account_id = c.account_id
                         AND e.log_id = c.log_id AND e.seq <= c.contiguous_seq) e
            ON e.n > 0 AND e.n <> c.contiguous_seq - e.low + 1""",
    "orders sent twice without proof that the first was not executed": """
        SELECT account_id || ' ' || seq FROM (
            SELECT a.account_id, a.seq, count(*) AS n,
                   (SELECT count(*) FROM order_transitions t WHERE t.account_id = a.account_id AND t.seq = a.seq
                     AND t.to_status = 'new') AS n_new
              FROM order_attempts a WHERE a.kind = 'place' GROUP BY 1, 2) s WHERE n > n_new""",
    "reservations of orders that are over": """
        SELECT r.account_id || ' ' || r.seq FROM exposure_reservations r JOIN orders o USING (account_id, seq)
         WHERE r.released_at IS NULL
           AND o.status IN ('denied', 'filled', 'canceled', 'expired', 'rejected', 'not_placed')""",
    "trading states that differ from the newest row of their history": """
        SELECT s.account_id::text FROM account_states s
          JOIN LATERAL (SELECT trading_state FROM account_state_history h WHERE h.account_id = s.account_id
                         ORDER BY n DESC LIMIT 1) h ON h.trading_state <> s.trading_state""",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    problems: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_database(server: Server) -> list[Finding]:
    """Run all checks.

    Args:
        server: Whose database is checked, as `ts_owner`.
    """
    url = server.url()
    at = current(url)
    if at != head():
        fix = f"The database is at migration {at or 'none'}, the program at {head()}. Run: tradesentry db migrate"
        return [Finding("migrations", (fix,))]
    checks: dict[str, Callable[[], tuple[str, ...]]] = {
        "migrations": tuple,
        "models": lambda: tuple(differences(url)),
        "schema.sql": lambda: schema_differences(server),
        "durability": lambda: durability_problems(url),
    }
    findings = [Finding(name, check()) for name, check in checks.items()]
    with psycopg.connect(url) as connection:
        findings.append(Finding("tenancy", _violations(connection, _COVERAGE, "tables")))
        findings.append(Finding("journal", _violations(connection, _INVARIANTS, "rows")))
    return findings


def schema_differences(server: Server) -> tuple[str, ...]:
    """Return the lines that the migrated database and `schema.sql` do not share.

    `schema.sql` is loaded beside it and dumped by the same program, because each PostgreSQL writes schemas its own way.

    Args:
        server: With an administrator's address; without one this check is left out and says so.
    """
    name = f"{server.database}_schema_{uuid.uuid4().hex[:8]}"
    have = dump(server.url(), server.programs()).splitlines()
    try:
        with scratch_database(server.admin_url, name):
            load(server.url(database=name))
            want = dump(server.url(database=name), server.programs()).splitlines()
    except psycopg.errors.InsufficientPrivilege:
        return ("not compared: DATABASE_URL names no administrator, who alone can make a database to compare with",)
    extra, missing = sorted(set(have) - set(want)), sorted(set(want) - set(have))
    return (*(f"only in the database: {line}" for line in extra), *(f"only in schema.sql: {line}" for line in missing))


def durability_problems(url: str) -> tuple[str, ...]:
    """Return why a confirmed commit might not survive a crash."""
    found = durability(url)
    return () if found.is_safe else (f"{found}: confirmed commits can be lost. Set both to on in the server.",)


def _violations(connection: "psycopg.Connection[Any]", queries: dict[str, str], noun: str) -> tuple[str, ...]:
    values = {"partitions": PARTITIONS, "definers": sorted(DEFINERS)}
    problems = []
    for name, query in queries.items():
        found = [str(row[0]) for row in connection.execute(query.encode(), values)]
        if found:
            problems.append(f"{noun} {name}: {', '.join(found[:10])}")
    return tuple(problems)

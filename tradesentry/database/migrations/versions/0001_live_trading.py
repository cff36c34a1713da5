"""Make the tables of live trading, their rules and their grants (two SQL files beside this module)."""

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    "run_states", "paper_transactions", "order_attempts", "order_transitions", "exposure_reservations", "positions",
    "orders", "fills", "equity_points", "venue_events", "event_cursors", "account_state_history", "account_states",
    "order_intents", "account_leases", "live_runs", "exposure_books", "outbox", "broker_links", "agents", "users",
)  # fmt: skip
FUNCTIONS = (
    "refuse_rewrite()", "refuse_stale_epoch()", "refuse_going_back()", "refuse_second_placement()",
    "ignore_known_event()", "keep_state_history()", "number_once()", "make_lease()", "refresh_wanted(uuid)",
    "account_changed()", "link_changed()", "lock_account(uuid)", "make_partition(text, text, text, text)",
    "ensure_partitions(timestamptz, int, int)", "prune_outbox(interval)",
)  # fmt: skip


def upgrade() -> None:
    """Make everything."""
    folder = files("tradesentry.database") / "migrations" / "versions"
    for name in ("0001_tables.sql", "0001_rules.sql"):
        op.get_bind().exec_driver_sql((folder / name).read_text(encoding="utf-8").replace("%", "%%"))


def downgrade() -> None:
    """Remove everything."""
    op.execute("DROP VIEW net_positions")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP SEQUENCE outbox_seq")

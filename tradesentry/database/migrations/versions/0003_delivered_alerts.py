"""Remember of an alert in the outbox who has it: the first channel, the second one, a person who acknowledged it."""

from alembic import op

revision = "0003"
down_revision = "0002"

COLUMNS = ("delivered_at", "escalated_at", "acknowledged_at")


def upgrade() -> None:
    """Add the marks, who may set them, and the index that finds alerts among events."""
    for column in COLUMNS:
        op.execute(f"ALTER TABLE outbox ADD COLUMN {column} TIMESTAMP WITH TIME ZONE")
    op.execute("CREATE INDEX ix_outbox_id_alert ON outbox (id) WHERE starts_with(topic, 'alert.')")
    # The number is given once; the marks come after it.
    op.execute("DROP TRIGGER numbered_once ON outbox")
    op.execute(
        "CREATE TRIGGER numbered_once BEFORE UPDATE OF seq ON outbox FOR EACH ROW EXECUTE FUNCTION number_once()"
    )
    op.execute("GRANT UPDATE (delivered_at, escalated_at) ON outbox TO ts_relay")
    op.execute("GRANT UPDATE (acknowledged_at) ON outbox TO ts_app")


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP TRIGGER numbered_once ON outbox")
    op.execute("CREATE TRIGGER numbered_once BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION number_once()")
    op.execute("DROP INDEX ix_outbox_id_alert")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE outbox DROP COLUMN {column}")

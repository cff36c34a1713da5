"""Look for a known event by its number alone, not through the tenant's index, which walks all events of the account."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Let the function run as the owner of the table, whose policy adds no condition."""
    op.execute("ALTER FUNCTION ignore_known_event() SECURITY DEFINER")


def downgrade() -> None:
    """Run it as whoever writes."""
    op.execute("ALTER FUNCTION ignore_known_event() SECURITY INVOKER")

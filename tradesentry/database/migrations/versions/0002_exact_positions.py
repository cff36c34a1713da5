"""Keep with each trade the exact evidence that it follows from; the numeric columns beside it are rounded."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; the trades of before are told again by the venue at the next start."""
    op.execute("ALTER TABLE positions ADD COLUMN terms JSONB DEFAULT '{}'::jsonb NOT NULL")


def downgrade() -> None:
    """Remove the column."""
    op.execute("ALTER TABLE positions DROP COLUMN terms")

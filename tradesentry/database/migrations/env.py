"""Let Alembic run on a connection that `database.schema` hands over; there is no configuration file."""

import re

from alembic import context

from tradesentry.database import fold_models, journal_models
from tradesentry.database.models import Base

PARTITION = re.compile(r"_(default|\d{4}_\d{2}(_\d{2})?)$")
MODELS = (fold_models, journal_models)
"""Imported so that their tables are known."""


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out partitions: they are made by date, not by migrations."""
    return not (kind == "table" and name is not None and PARTITION.search(name))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=_is_ours,
    compare_type=True,
    compare_server_default=False,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

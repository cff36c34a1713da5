"""Let Alembic run on a connection that `database.schema` hands over; there is no configuration file."""

from alembic import context

from tradesentry.database.models import Base
from tradesentry.database.schema import is_table_of_models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    include_name=is_table_of_models,
    compare_type=True,
    compare_server_default=False,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

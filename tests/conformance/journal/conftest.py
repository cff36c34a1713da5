"""The database that the journal in PostgreSQL is tested on."""

from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]

"""A real PostgreSQL, started once, and a database for each test."""

from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]

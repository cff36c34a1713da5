"""The steps from an empty database to the present schema (Alembic), each with its rules in SQL beside it."""

"""Queries, one module per subject; nothing else writes SQL for the tables."""

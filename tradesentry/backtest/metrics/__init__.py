"""Metrics of a back-test: pure functions with definition, unit and source."""

"""Experiments: one back-test, many variants, their evaluation and reports."""

"""Experiments: runs, sweeps, walk-forwards, their evaluation and their reports."""

"""The experiments of drlfusion: the standard back-test and the walk-forward that trains anew on every fold."""

"""How smgrid is tried: the standard experiment, its walk-forward, its figures."""

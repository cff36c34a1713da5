"""Studies of many plays: the variants, where results are kept, how windows are cut, what is chosen."""

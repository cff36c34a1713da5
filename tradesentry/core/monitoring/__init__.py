"""Watch what trades live: tighten stops, record trades, measure, beat, check invariants, tell people."""

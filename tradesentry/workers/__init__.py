"""Processes that work in the background: agents that trade accounts by lease, and the supervisor that restarts them."""

"""Runs of 10,000 EURUSD whose money is worked out by hand: a pip is one dollar, the spread two pips."""

from tests.support.markets import make_bars, new_market
from tests.support.scripted import play

SPREAD = 0.0002
FLAT = (1.1000, 1.1000, 1.1000, 1.1000)


def run(rows, *script, spread=SPREAD, **more):
    """Play a script over bars of two pips spread, after one flat bar at 1.1000."""
    return play(new_market(), make_bars([FLAT, *rows], spread=spread), script, **more)


def money(trade):
    return round(float(trade.net), 2)

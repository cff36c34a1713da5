"""Compare what two engines did with one scenario: trades, refusals, equity, account and views, row by row."""

import dataclasses
import math

from tests.support.slow_engine import Points, Reject, Seen, SlowEngine
from tests.support.slow_records import Trade

TOLERANCE = {"entry_price": 1e-9, "exit_price": 1e-9, "stop_at_entry": 1e-9, "last_spread": 1e-9}
"""Prices; all else, money and R-multiples, agrees to 1e-6."""


ACCOUNT_NAMES = ("balance", "peak_equity", "max_drawdown", "day_start_equity", "trading_state", "state_reason")


def names_of(kind):
    """Return the fields of a dataclass."""
    return [field.name for field in dataclasses.fields(kind)]


def difference(slow, fast, names):
    """Return in words the first row in which two lists differ, None when they agree."""
    for i, (a, b) in enumerate(zip(slow, fast, strict=False)):
        for name in names:
            x, y = getattr(a, name), getattr(b, name)
            limit = TOLERANCE.get(name, 1e-6) if isinstance(x, float) else 0
            if not (x == y or abs(float(x) - float(y)) <= limit or (math.isnan(x) and math.isnan(y))):
                return f"row {i}, {name}: slow {x!r}, compiled {y!r}; slow row {a}"
    if len(slow) != len(fast):
        return f"{len(slow)} rows in the slow engine, {len(fast)} in the compiled one"
    return None


def disagreements(scenario):
    """Play a scenario through both engines; return (what differs, the slow engine)."""
    slow = SlowEngine.of(scenario).run()
    arena = scenario.arena()
    arena.run()
    found = {
        "trades": difference(slow.trades, arena.trade_rows, names_of(Trade)),
        "rejects": difference(slow.rejects, arena.reject_rows, names_of(Reject)),
        "equity": difference(slow.points, arena.equity_rows, names_of(Points)),
        "account": difference([slow.account], arena.account, ACCOUNT_NAMES),
    }
    for i, (book, lane) in enumerate(zip(slow.books, arena.lanes, strict=True)):
        found[f"view {i}"] = difference(book.seen, lane.state[0].seen[: len(book.seen)], names_of(Seen))
    return {name: what for name, what in found.items() if what is not None}, slow

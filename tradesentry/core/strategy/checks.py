"""Prove a strategy on bars: no look-ahead, restart, mirror symmetry, parity, zero edge.

Each check plays the strategy more than once through the very engine and compares bytes, and says the first bar and
field that differ. They work on any strategy, a user's own included. What plays is handed in (`Player`), because engines
live above this package; `tradesentry check NAME` hands in the back-test's. What a result hangs on is judged in
`robustness`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tradesentry.core.domain.orders import Status
from tradesentry.core.execution.driver import play_bar_by_bar
from tradesentry.core.market.mirror import mirror
from tradesentry.core.utils.kernel import load_records, save_records

Records = np.ndarray[Any, Any]
BarsBySymbol = Mapping[str, Records]
MIN_TRADES = 20
"""Fewer trades prove little; the check says so instead of passing."""
MAX_STANDARD_ERRORS = 3.5
OUTPUTS = ("trades", "rejects", "equity")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of one check."""

    name: str
    is_passed: bool
    detail: str
    """What was compared and how much of it, or the first difference."""
    table: tuple[dict[str, Any], ...] = ()
    """Figures behind it, one row per play, where there are any."""


class Memory(Protocol):
    """The memory of one play, as the back-test's arena keeps it."""

    desk: Any
    account: Any
    intents: Any
    books: Any
    quotes: Any
    series: Any
    lanes: Any
    step: Any

    def play(self, n_steps: int = ...) -> bool: ...
    def finish(self) -> None: ...
    def grow(self, name: str) -> None: ...
    @property
    def trade_rows(self) -> Records: ...
    @property
    def reject_rows(self) -> Records: ...


Player = Callable[[BarsBySymbol | None], Memory]
"""Return fresh memory that plays the given bars, or the run's own when None."""


def _field_that_differs(a: Any, b: Any, path: str = "") -> str:
    """Return the first field, nested ones with dots and indices, of two records that are not the same."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape:
        row = next(i for i in range(len(a)) if a[i].tobytes() != b[i].tobytes())
        return _field_that_differs(a[row], b[row], f"{path}[{row}]")
    if a.dtype.names is None:
        return f"{path} is {a} and {b}"
    names = [name for name in a.dtype.names if a[name].tobytes() != b[name].tobytes()]
    if not names:
        return f"{path or 'padding'} differs"
    return _field_that_differs(a[names[0]], b[names[0]], f"{path}.{names[0]}" if path else names[0])


def first_difference(a: Records, b: Records, *, what: str) -> str | None:
    """Return where two record arrays differ first, None when they are the same to the bit."""
    for row in range(min(len(a), len(b))):
        if a[row].tobytes() == b[row].tobytes():
            continue
        return f"{what} {row}: {_field_that_differs(a[row], b[row])}"
    if len(a) != len(b):
        return f"{len(a)} and {len(b)} {what}s"
    return None


def _played(player: Player, bars: BarsBySymbol, n_steps: int) -> Memory:
    """Return fresh memory after exactly `n_steps` instants."""
    memory = player(bars)
    if n_steps > 0:
        memory.play(n_steps)
    return memory


def _state_difference(a: Memory, b: Memory) -> str | None:
    """Return where the states of the strategies differ first."""
    for x, y in zip(a.lanes, b.lanes, strict=True):
        if found := first_difference(x.state, y.state, what="state"):
            return found
    return None


def _book_difference(a: Memory, b: Memory) -> str | None:
    """Return where open positions, resting orders and queued entries differ first."""
    return (
        first_difference(a.books["seen"]["positions"], b.books["seen"]["positions"], what="positions of book")
        or first_difference(a.books["seen"]["orders"], b.books["seen"]["orders"], what="orders of book")
        or first_difference(a.books["queue"], b.books["queue"], what="queue of book")
    )


def _n_instants(bars: BarsBySymbol) -> int:
    return len(np.unique(np.concatenate([b["close_ns"] for b in bars.values()])))


def _cuts(n: int, count: int) -> list[int]:
    """Return `count` cut points spread over n instants, the last third included."""
    return sorted({max(1, n * (i + 1) // (count + 1)) for i in range(count)})


def _instants(bars: BarsBySymbol) -> Records:
    return np.unique(np.concatenate([b["close_ns"] for b in bars.values()]))


def changed_future(bars: BarsBySymbol, after_ns: int, *, seed: int) -> dict[str, Records]:
    """Return the bars with everything that closes after `after_ns` replaced by another valid path."""
    rng = np.random.default_rng(seed)
    changed = {}
    for symbol, given in bars.items():
        made = given.copy()
        rows = np.flatnonzero(made["close_ns"] > after_ns)
        if len(rows):
            scale = float(np.median(given["high"] - given["low"])) * 3 or 1e-4
            walk = float(made["close"][max(rows[0] - 1, 0)]) + np.cumsum(rng.normal(0.0, scale, len(rows)))
            closes = np.maximum(walk, float(given["low"].min()) / 2)
            opens = np.concatenate(([float(made["close"][max(rows[0] - 1, 0)])], closes[:-1]))
            made["open"][rows], made["close"][rows] = opens, closes
            made["high"][rows] = np.maximum(opens, closes) + scale
            made["low"][rows] = np.minimum(opens, closes) - scale / 4
        changed[symbol] = made
    return changed


def check_look_ahead(player: Player, bars: BarsBySymbol, *, n_cuts: int = 4) -> CheckResult:
    """Check that nothing decided up to a bar depends on later bars: a shorter series, and another future.

    Args:
        player: Plays bars.
        bars: BAR arrays by symbol.
        n_cuts: Places at which the series is cut.
    """
    name = "look-ahead"
    instants = _instants(bars)
    n_trades = 0
    for cut in _cuts(len(instants), n_cuts):
        until = int(instants[cut - 1])
        whole = _played(player, bars, cut)
        prefix = _played(player, {s: b[b["close_ns"] <= until] for s, b in bars.items()}, cut)
        other = _played(player, changed_future(bars, until, seed=cut), cut)
        n_trades = len(whole.trade_rows)
        for label, memory in (("the series that ends there", prefix), ("another future", other)):
            found = (
                first_difference(whole.trade_rows, memory.trade_rows, what="trade")
                or first_difference(whole.reject_rows, memory.reject_rows, what="refusal")
                or _book_difference(whole, memory)
                or _state_difference(whole, memory)
            )
            if found:
                when = np.datetime64(until, "ns")
                return CheckResult(name, False, f"With {label} ({when}): {found}. A later bar was used.")
    return CheckResult(name, True, f"{n_cuts} cuts, {n_trades} trades: nothing depends on later bars")


def check_restart(player: Player, bars: BarsBySymbol, *, n_cuts: int = 3) -> CheckResult:
    """Check that a run saved as bytes after any bar and restored goes on exactly as if it had not stopped."""
    name = "restart"
    whole = player(bars)
    while whole.play():
        pass
    n = _n_instants(bars)
    for cut in _cuts(n, n_cuts):
        first = _played(player, bars, cut)
        second = player(bars)
        for field in ("account", "books", "quotes"):
            getattr(second, field)[:] = load_records(save_records(getattr(first, field)), getattr(first, field).dtype)
        for new, old in zip(second.lanes, first.lanes, strict=True):
            new.state[:] = load_records(save_records(old.state), old.state.dtype)
        for row in ("next_bar", "next_close_ns", "fine_from", "fine_to"):
            second.series[row] = first.series[row]
        _make_room(first, second)
        for output in OUTPUTS:
            written: Any = getattr(first, output)
            getattr(second, output)[: len(written)] = written
        while second.play():
            pass
        found = first_difference(whole.trade_rows, second.trade_rows, what="trade") or (
            _state_difference(whole, second)
        )
        if found:
            return CheckResult(name, False, f"Restored after instant {cut} of {n}: {found}. Some state is not saved.")
    return CheckResult(name, True, f"{n_cuts} restarts, {len(whole.trade_rows)} trades: the same to the last bit")


def _make_room(source: Memory, target: Memory) -> None:
    """Let the output arrays of one memory hold at least as much as those of another."""
    for name in OUTPUTS:
        while len(getattr(target, name)) < len(getattr(source, name)):
            target.grow(name)


def check_parity(player: Player, bars: BarsBySymbol, *, max_instants: int = 4_000) -> CheckResult:
    """Check that the compiled loop equals a driver that calls settle, account and decide one bar at a time."""
    loop = _played(player, bars, max_instants)
    driver = player(bars)
    _make_room(loop, driver)
    status = play_bar_by_bar(driver, max_instants)
    if status not in (Status.OK, Status.PAUSED):
        return CheckResult("parity", False, f"The bar-by-bar driver stopped with {Status(status).name}.")
    found = (
        first_difference(loop.trade_rows, driver.trade_rows, what="trade")
        or first_difference(loop.account, driver.account, what="account")
        or _state_difference(loop, driver)
    )
    if found:
        return CheckResult("parity", False, f"Loop and bar-by-bar driver disagree: {found}.")
    return CheckResult("parity", True, f"{len(loop.trade_rows)} trades: loop and bar-by-bar driver agree to the bit")


def check_mirror(player: Player, bars: BarsBySymbol, *, tick: float) -> CheckResult:
    """Check that on mirrored prices the strategy makes the mirrored trades.

    Args:
        player: Plays bars without swap and commission, which differ between the sides.
        bars: BAR arrays by symbol, on the tick grid, spreads too.
        tick: Price step; times and sides must agree exactly, R-multiples to a rounding of one tick.
    """
    straight, mirrored = player(bars), player({s: mirror(b.view(np.recarray), tick=tick) for s, b in bars.items()})
    for memory in (straight, mirrored):
        while memory.play():
            pass
    a, b = straight.trade_rows, mirrored.trade_rows
    if len(a) != len(b):
        return CheckResult("mirror", False, f"{len(a)} trades, and {len(b)} on mirrored prices.")
    for row in range(len(a)):
        same = a["entry_ns"][row] == b["entry_ns"][row] and a["exit_ns"][row] == b["exit_ns"][row]
        if not same or a["side"][row] != -b["side"][row]:
            when = np.datetime64(int(a["entry_ns"][row]), "ns")
            return CheckResult("mirror", False, f"Trade {row} ({when}) has no mirrored twin.")
        if not math.isclose(a["r_multiple"][row], b["r_multiple"][row], abs_tol=1e-6):
            return CheckResult(
                "mirror", False, f"Trade {row}: {a['r_multiple'][row]} R, mirrored {b['r_multiple'][row]} R."
            )
    return CheckResult("mirror", len(a) > 0, f"{len(a)} trades, each with its mirrored twin")


def check_zero_edge(r_multiples: Sequence[float] | Records) -> CheckResult:
    """Check that on a driftless random walk without costs the mean R is 0 within 3.5 standard errors.

    Args:
        r_multiples: R of every trade on such a walk, the path inside bars resolved.
    """
    values = np.asarray(r_multiples, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < MIN_TRADES:
        return CheckResult("zero-edge", False, f"Only {len(values)} trades; {MIN_TRADES} are needed. Use more bars.")
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    z = float(values.mean()) / error if error > 0 else math.inf
    text = f"{len(values)} trades, mean R {values.mean():+.4f} = {z:+.2f} standard errors"
    if abs(z) > MAX_STANDARD_ERRORS:
        return CheckResult("zero-edge", False, f"{text}. A random walk has no edge: look for look-ahead or fills.")
    return CheckResult("zero-edge", True, text)

"""What a strategy must beat: nothing, holding, and its own trades with one thing left to chance.

A baseline gives every trade of the strategy another entry. Many of them are drawn, all are played by the engine under
the same costs and exits (`scripted`), and then combined: a draw takes one entry for each trade, and the p-value is the
share of draws whose mean R is at least that of the strategy. A small one says that what the baseline leaves to chance
was worth something; it corrects neither for costs nor for the number of variants tried.

Always there: `flat`, `hold`, `short`, `random_entry` (any bar, any side, exits scaled by ATR) and `placebo` (the same
side, stop and target at a random bar of similar ATR). A strategy adds its own and says what its exits are with
`BaseStrategy.baselines`; else they are read from its trades. Exits by a strategy's own signal are not copied.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.arena import Arena
from tradesentry.backtest.metrics import trades as trades_of
from tradesentry.backtest.metrics.returns import max_drawdown
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.runner import new_arena
from tradesentry.backtest.scripted import ENTRY, r_multiples, script_arena
from tradesentry.core.domain.orders import ExitReason

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ATR_BARS: Final = 14
N_DRAWS: Final = 1_000
POOL: Final = 60_000
"""Entries played for one baseline; each trade's share of them is what draws choose from."""
MIN_ALTERNATIVES: Final = 20
SIMILAR: Final = 0.05
"""Share of all bars, nearest in ATR, that a placebo chooses from."""
TARGET_SHARE: Final = 0.05
"""Trades of a tag that must have ended at a target before one is assumed."""
HOLD_CAPITAL: Final = 1e6
"""Large enough for whole units, small enough for the largest order of an instrument."""
HOLD_STOP: Final = 0.9
"""Stop of a holding, as a share of the price: far enough never to be met."""


@dataclass(frozen=True, slots=True)
class Exits:
    """How the trades of one market end, apart from the strategy's own signals."""

    target: FloatArray
    """Take profit per trade, multiple of the stop distance, NaN for none; shape (n_trades,)."""
    limit_bars: IntArray
    """Longest time per trade, bars."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The trades of one market and what a baseline may know of them."""

    trades: Any
    """TRADE rows."""
    bars: Any
    """BAR array."""
    calendar: Any
    """CALENDAR record."""
    config: Any
    atr: FloatArray
    """Wilder's ATR(14) of every bar, NaN before it is known."""
    exits: Exits

    @property
    def decided(self) -> IntArray:
        """Return the row of the bar at whose close, or inside which, each trade was entered."""
        rows = np.searchsorted(self.bars["close_ns"], self.trades["entry_ns"], side="left")
        last: IntArray = np.minimum(rows, len(self.bars) - 1).astype(np.int64)
        return last

    @property
    def distance(self) -> FloatArray:
        """Return the stop distance of each trade, price units."""
        gap: FloatArray = np.abs(self.trades["entry_price"] - self.trades["stop_at_entry"])
        return gap

    def end_after(self, rows: IntArray) -> IntArray:
        """Return the instant at which the time limit of each trade ends when it is entered after bar `rows`."""
        last = np.minimum(rows + self.exits.limit_bars, len(self.bars) - 1)
        ends: IntArray = self.bars["close_ns"][last].astype(np.int64)
        return ends

    def entries(self, n: int, *, decide_ns: Any, exit_ns: Any, side: Any, distance: Any = None) -> Any:
        """Return ENTRY rows, shape (n, n_trades), with the targets of the trades; ids are set later.

        Args:
            n: Alternatives of each trade.
            decide_ns: Close at which each is decided.
            exit_ns: When each ends at the latest.
            side: 1 or -1.
            distance: Of the stop; that of the trade when None.
        """
        made = np.zeros((n, len(self.trades)), ENTRY)
        made["decide_ns"], made["exit_ns"], made["side"] = decide_ns, exit_ns, side
        made["distance"] = self.distance if distance is None else distance
        made["target"] = self.exits.target
        return made


Alternatives = Callable[[Situation, np.random.Generator, int], Any]
"""(situation, generator, n) → n other entries for each trade, ENTRY rows of shape (n, n_trades)."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Other entries for the trades of a strategy."""

    name: str
    label: str
    text: str
    """What is left to chance, and so what a strategy that beats it must be good at."""
    alternatives: Alternatives
    is_random: bool = True


@dataclass(frozen=True, slots=True)
class Suite:
    """What a strategy says about its baselines."""

    exits: Callable[[Any, Any, Any], Exits] | None = None
    """(configuration, TRADE rows of a market, CALENDAR) → exits; read from the trades when None."""
    baselines: tuple[Baseline, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """One line of the comparison."""

    name: str
    label: str
    text: str
    n_trades: int
    mean_r: float | None = None
    low: float | None = None
    """2.5 % point of the draws; of the mean R for what is not drawn."""
    high: float | None = None
    p_value: float | None = None
    """Share of draws that did at least as well as the strategy; None where nothing is drawn."""
    n_draws: int = 0
    total_return: float | None = None
    max_drawdown: float | None = None


def _random_entry(at: Situation, random: np.random.Generator, n: int) -> Any:
    shape = (n, len(at.trades))
    rows = random.choice(np.flatnonzero(np.isfinite(at.atr)), shape)
    scale = at.atr[rows] / at.atr[at.decided]
    return at.entries(
        n,
        decide_ns=at.bars["close_ns"][rows],
        exit_ns=at.end_after(rows),
        side=random.choice((-1, 1), shape),
        distance=at.distance * np.where(np.isfinite(scale), scale, 1.0),
    )


def _placebo(at: Situation, random: np.random.Generator, n: int) -> Any:
    known = np.flatnonzero(np.isfinite(at.atr))
    ordered = known[np.argsort(at.atr[known], kind="stable")]
    room = min(len(ordered), max(MIN_ALTERNATIVES, round(SIMILAR * len(ordered))))
    first = np.clip(np.searchsorted(at.atr[ordered], at.atr[at.decided]) - room // 2, 0, len(ordered) - room)
    rows = ordered[first + random.integers(0, room, (n, len(at.trades)))]
    return at.entries(n, decide_ns=at.bars["close_ns"][rows], exit_ns=at.end_after(rows), side=at.trades["side"])


GENERAL: Final = (
    Baseline(
        "random_entry",
        "Random entries, same exits",
        "Any bar and any side; stop, target and time limit as the strategy's, scaled by ATR.",
        _random_entry,
    ),
    Baseline(
        "placebo",
        "Placebo: random bars of similar ATR",
        "The same side, stop distance and target at a random bar of similar ATR: what was the place worth?",
        _placebo,
    ),
)


def exits_of_trades(trades: Any) -> Exits:
    """Return the exits that trades seem to have had, by tag: the usual target and the longest time.

    Args:
        trades: TRADE rows.
    """
    target, limit = np.full(len(trades), np.nan), np.zeros(len(trades), np.int64)
    risk = np.abs(trades["entry_price"] - trades["stop_at_entry"])
    gained = np.abs(trades["exit_price"] - trades["entry_price"]) / np.where(risk > 0, risk, np.nan)
    for tag in np.unique(trades["tag"]):
        own = trades["tag"] == tag
        hit = own & (trades["exit_reason"] == int(ExitReason.TAKE_PROFIT))
        if np.sum(hit) >= max(1, TARGET_SHARE * np.sum(own)):
            target[own] = np.median(gained[hit])
        limit[own] = max(1, int(np.max(trades["bars_held"][own])))
    return Exits(target, limit)


def _situations(run: ResolvedRun, trades: Any, suite: Suite) -> dict[int, Situation]:
    found = {}
    for market in np.unique(trades["market"]).tolist():
        own = trades[(trades["market"] == market) & np.isfinite(trades["r_multiple"])]
        if not len(own):
            continue
        bars, calendar = run.data.series[market].bars, run.markets[market].calendar
        exits = exits_of_trades(own) if suite.exits is None else suite.exits(run.config, own, calendar)
        found[market] = Situation(own, bars, calendar, run.config, average_range(bars), exits)
    return found


def average_range(bars: Any) -> FloatArray:
    """Return Wilder's ATR(14) of every bar, NaN before it is known.

    Args:
        bars: BAR array.
    """
    values = np.full(len(bars), np.nan)
    if len(bars) <= ATR_BARS:
        return values
    before = bars["close"][:-1]
    ranges = np.maximum(bars["high"][1:], before) - np.minimum(bars["low"][1:], before)
    first = float(np.mean(ranges[:ATR_BARS]))
    rest = ranges[ATR_BARS:].tolist()
    values[ATR_BARS:] = list(accumulate(rest, lambda atr, now: atr + (now - atr) / ATR_BARS, initial=first))
    return values


def _outcomes(run: ResolvedRun, situations: dict[int, Situation], baseline: Baseline, seed: int) -> FloatArray:
    """Return R of every alternative, shape (n_alternatives, n_trades); NaN where it was not filled.

    Equal entries of a trade are played once.
    """
    n_trades = sum(len(s.trades) for s in situations.values())
    n_each = min(N_DRAWS, max(MIN_ALTERNATIVES, POOL // n_trades)) if baseline.is_random else 1
    random = np.random.default_rng(seed)
    scripts, places, n_before, n_entries = {}, [], 0, 0
    for market, situation in situations.items():
        drawn = baseline.alternatives(situation, random, n_each)
        drawn["id"] = n_before + np.arange(len(situation.trades))
        flat = drawn.reshape(-1).view(np.dtype((np.void, drawn.dtype.itemsize)))
        _, first, place = np.unique(flat, return_index=True, return_inverse=True)
        unique = drawn.reshape(-1)[first]
        unique["id"] = n_entries + np.arange(len(unique))
        scripts[market] = unique
        places.append(n_entries + place.reshape(n_each, -1))
        n_before, n_entries = n_before + len(situation.trades), n_entries + len(unique)
    return r_multiples(run, scripts)[np.concatenate(places, axis=1)]


def _draw_means(outcomes: FloatArray, n_draws: int, seed: int) -> tuple[FloatArray, float]:
    """Return the mean R of every draw, and the mean number of trades of one.

    A draw takes for each trade one of its alternatives that were filled; trades without any are left out.
    """
    is_filled = np.isfinite(outcomes)
    usable = is_filled.any(axis=0)
    counts = is_filled[:, usable].sum(axis=0)
    # Filled alternatives first, so that a number below their count picks one of them.
    order = np.argsort(~is_filled[:, usable], axis=0, kind="stable")
    values = np.take_along_axis(outcomes[:, usable], order, axis=0)
    random = np.random.default_rng(seed)
    means = np.empty(n_draws)
    for i in range(n_draws):
        picks = (random.random(len(counts)) * counts).astype(np.int64)
        means[i] = values[picks, np.arange(len(counts))].mean()
    return means, float(len(counts))


def _row(
    run: ResolvedRun, situations: dict[int, Situation], baseline: Baseline, mean_r: float, seed: int
) -> BaselineRow:
    outcomes = _outcomes(run, situations, baseline, seed)
    head = (baseline.name, baseline.label, baseline.text)
    if not np.isfinite(outcomes).any():
        return BaselineRow(*head, 0)
    if not baseline.is_random:
        values = outcomes[np.isfinite(outcomes)]
        interval = trades_of.normal_interval(values)
        return BaselineRow(*head, len(values), float(values.mean()), _known(interval.low), _known(interval.high))
    means, n_trades = _draw_means(outcomes, N_DRAWS, seed)
    low, high = np.quantile(means, (0.025, 0.975))
    as_good = int(np.sum(means >= mean_r))
    return BaselineRow(
        *head, round(n_trades), float(means.mean()), float(low), float(high), (1 + as_good) / (1 + N_DRAWS), N_DRAWS
    )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def hold_arena(run: ResolvedRun, side: int, *, n_before: Sequence[int] = (), cost_scale: float | None = None) -> Arena:
    """Return the finished play of holding one side of every market to the end, the capital spread over the markets.

    Args:
        run: The resolved run.
        side: 1 buys and holds, -1 sells and holds.
        n_before: Bars per market before the first that may be held.
        cost_scale: Multiple of the costs; the settings' when None.
    """
    entries = {}
    markets = run.data.series[: run.data.n_traded]
    for market, series in enumerate(markets):
        # Decided inside the window: before it lies a weekend, over which no decision is kept.
        entry, row = np.zeros(1, ENTRY), min(n_before[market] if n_before else 0, len(series.bars) - 1)
        entry["decide_ns"], entry["side"], entry["target"] = series.bars["close_ns"][row], side, np.nan
        entry["distance"] = HOLD_STOP * series.bars["close"][row]
        entries[market] = entry
    # Losing `risk` at that stop means a notional of the market's share of the capital, in any currency.
    rules: dict[str, Any] = {"risk": HOLD_STOP / len(markets), "weekend": "hold", "max_spread": None}
    arena, _scripts = script_arena(run, entries, capital=HOLD_CAPITAL, cost_scale=cost_scale, **rules)
    arena.run()
    return arena


def _hold(run: ResolvedRun, side: int) -> BaselineRow:
    """Return what holding one side from the first bar to the end earns."""
    arena = hold_arena(run, side)
    equity = np.concatenate(([HOLD_CAPITAL], arena.equity_rows["equity"]))
    lows = np.concatenate(([HOLD_CAPITAL], arena.equity_rows["worst_equity"]))
    times = np.concatenate((arena.equity_rows["ts_ns"][:1], arena.equity_rows["ts_ns"]))
    name, label, verb = ("hold", "Buy and hold", "Bought") if side > 0 else ("short", "Short and hold", "Sold")
    return BaselineRow(
        name,
        label,
        f"{verb} at the first bar, held to the end, the capital spread over the markets without leverage.",
        len(arena.trade_rows),
        total_return=float(equity[-1] / HOLD_CAPITAL - 1.0),
        max_drawdown=max_drawdown(equity, lows, times).depth,
    )


def compare(run: ResolvedRun, *, seed: int = 0) -> list[BaselineRow]:
    """Return what the baselines of a run earn: flat, hold, the general ones and the strategy's own.

    Args:
        run: The resolved run; it is played once more for its trades.
        seed: Of all draws: the same run gives the same rows.
    """
    arena = new_arena(run)
    arena.run()
    trades = arena.trade_rows
    rows = [
        BaselineRow("flat", "Flat", "No trade at all.", 0, 0.0, total_return=0.0, max_drawdown=0.0),
        _hold(run, 1),
        _hold(run, -1),
    ]
    suite: Suite = run.strategy.baselines(run.config) or Suite()
    situations = _situations(run, trades, suite)
    if situations:
        mean_r = float(np.mean(np.concatenate([s.trades["r_multiple"] for s in situations.values()])))
        rows += [_row(run, situations, b, mean_r, seed) for b in (*GENERAL, *suite.baselines)]
    return rows


def with_baselines(run: ResolvedRun, result: BacktestResult, *, seed: int = 0) -> BacktestResult:
    """Return the result with its baselines beside it, for table, summary and report.

    Args:
        run: The resolved run.
        result: Its result.
        seed: Of all draws.
    """
    return replace(result, baselines=[asdict(row) for row in compare(run, seed=seed)])


def names(baselines: Sequence[Baseline]) -> tuple[str, ...]:
    """Return the names of baselines, as a declared study lists them."""
    return tuple(baseline.name for baseline in baselines)

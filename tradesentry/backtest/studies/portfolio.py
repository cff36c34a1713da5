"""Play several variants side by side on one account, window after window, and join the windows to one result.

Every variant is a lane of its own in one arena: it has its own state and book, and competes with the others for the
account's limits. A window ends for new ideas only: what is open then keeps its size and exits until it closes, at most
for the embargo, while the next window has already begun with what the account was worth.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from tradesentry.backtest.arena import Arena
from tradesentry.backtest.data import MarketData
from tradesentry.backtest.metrics.fx_time import DAY_NS
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.runner import collect, new_arena, new_lanes
from tradesentry.backtest.studies.stage import FAR_FUTURE, Stage, Stages, Window
from tradesentry.backtest.studies.variants import Variant
from tradesentry.backtest.tables import equity_table, reject_table, trade_table
from tradesentry.core.domain.orders import ExitReason, TradingState
from tradesentry.core.domain.records import EQUITY
from tradesentry.core.strategy.base_strategy import StrategyConfig
from tradesentry.core.utils.kernel import new_records

REDUCING = int(TradingState.REDUCING)


@dataclass(frozen=True, slots=True)
class Share:
    """One variant on one market with its part of the market's risk budget."""

    variant: Variant
    number: int
    """What its trades carry."""
    symbol: str
    weight: float


@dataclass(frozen=True, slots=True)
class WindowPlay:
    """What a set of shares did in one window."""

    window: Window
    capital: float
    trades: Any
    """TRADE records."""
    equity: Any
    """EQUITY records from the window's start on."""
    rejects: Any
    names: tuple[str, ...]
    """Symbol by market row."""
    state: TradingState
    """Of the account at the window's end."""
    reason: int
    since_ns: int
    n_bars: int


def play_window(
    stages: Sequence[Stage], shares: Sequence[Sequence[Share]], window: Window, *, capital: float,
    cost_scale: float, tail_ns: int,
) -> WindowPlay:  # fmt: skip
    """Play shares in one window on one account.

    Args:
        stages: Bars and calendars; variants that need different ones are on different stages.
        shares: Per stage, what is traded.
        window: Entries are made inside it.
        capital: What the account is worth at its start.
        cost_scale: Multiple of the costs.
        tail_ns: How long after the window's end open positions may live.
    """
    start_ns, end_ns = window.bounds
    longer = Window(start_ns, end_ns + tail_ns)
    run, before, offsets = _joined(stages, shares, longer)
    lanes = []
    for offset, stage, group in zip(offsets, stages, shares, strict=True):
        rows = {symbol: offset + i for i, symbol in enumerate(stage.symbols)}
        for share in group:
            config = share.variant.config
            config = _with_share(config, share.weight)
            lanes += new_lanes(run, config=config, markets=[rows[share.symbol]], n_before=before, variant=share.number)
    arena = new_arena(run, cost_scale=cost_scale, lanes=lanes, capital=capital)
    state, reason, since, last_ns = _play_to(arena, end_ns)
    equity = arena.equity_rows
    equity["trading_state"][equity["ts_ns"] >= last_ns] = int(state)
    begin = int(np.searchsorted(equity["ts_ns"], start_ns))
    return WindowPlay(
        window,
        capital,
        arena.trade_rows.copy(),
        equity[begin:].copy(),
        arena.reject_rows.copy(),
        tuple(series.symbol for series in run.data.series),
        state,
        reason,
        since,
        sum(int(np.sum(s.bars["open_ns"] >= start_ns)) for s in run.data.series[: run.data.n_traded]),
    )


def play_portfolio(run: ResolvedRun, variants: Sequence[Variant]) -> BacktestResult:
    """Play variants side by side over the whole period, each with an equal part of every market's risk budget.

    Args:
        run: The base run with markets and settings.
        variants: What shares the account; their trades carry their position in the sequence.
    """
    stages = Stages(run.strategy.name, run)
    groups: dict[str, tuple[Stage, list[Share]]] = {}
    for number, variant in enumerate(variants):
        key, stage = stages.of(variant.config)
        shares = [Share(variant, number, symbol, 1.0 / len(variants)) for symbol in stage.symbols]
        groups.setdefault(key, (stage, []))[1].extend(shares)
    used, shared = zip(*groups.values(), strict=True)
    settings = run.settings
    started = time.perf_counter()
    window = Window(*stages.of(run.config)[1].span)
    play = play_window(used, shared, window, capital=settings.capital, cost_scale=settings.cost_scale, tail_ns=0)
    return join_windows(run, [play], seconds=time.perf_counter() - started)


def _with_share(config: StrategyConfig, weight: float) -> StrategyConfig:
    """Return a configuration that risks its share of `risk`, or of what a strategy sizes by instead."""
    name = "risk_fraction" if "risk_fraction" in type(config).model_fields else "risk"
    return config.model_copy(update={name: getattr(config, name) * weight})


def _joined(
    stages: Sequence[Stage], shares: Sequence[Sequence[Share]], window: Window
) -> tuple[ResolvedRun, tuple[int, ...], list[int]]:
    """Return one run with the markets of all stages, its bars before the window, and the first row of each stage."""
    sections = []
    for stage, group in zip(stages, shares, strict=True):
        needy = max((s.variant.config for s in group), key=stage.run.strategy.bars_needed)
        sections.append(stage.section(needy, window))
    first = sections[0].run
    if len(sections) == 1:
        return first, sections[0].n_before, [0]
    markets = np.concatenate([section.run.markets for section in sections]).view(np.recarray)
    offsets, at = [], 0
    for section in sections:
        offsets.append(at)
        for row in range(at, at + len(section.run.items)):
            markets["index"][row] = row
            if markets["cross_index"][row] >= 0:
                markets["cross_index"][row] += at
        at += len(section.run.items)
    data = MarketData(
        tuple(one for section in sections for one in section.run.data.series),
        sum(section.run.data.n_traded for section in sections),
        tuple(one for section in sections for one in section.run.data.fine),
    )
    items = tuple(item for section in sections for item in section.run.items)
    before = tuple(n for section in sections for n in section.n_before)
    return replace(first, data=data, items=items, markets=markets), before, offsets


def _play_to(arena: Arena, end_ns: int) -> tuple[TradingState, int, int, int]:
    """Play to the window's end, then without entries until nothing is open.

    Returns:
        State, its reason and time at the window's end, and the last instant inside the window.
    """
    series = arena.series
    lengths = series["n_bars"].copy()
    for row, bars in zip(series, arena.bars, strict=True):
        row.n_bars = int(np.searchsorted(bars["close_ns"], end_ns, side="right"))
        if row.n_bars == 0:
            row.next_close_ns = FAR_FUTURE
    while arena.play():
        pass
    account = arena.account
    state = TradingState(int(account.trading_state[0]))
    reason, since, last_ns = int(account.state_reason[0]), int(account.state_ns[0]), int(account.last_ns[0])
    arena.books["seen"]["n_orders"] = 0
    if state is TradingState.ACTIVE:
        account.trading_state = REDUCING
    tail_end = end_ns
    while _is_open(arena) and bool(np.any(series["n_bars"] < lengths)):
        tail_end += DAY_NS
        for row, bars, length in zip(series, arena.bars, lengths, strict=True):
            row.n_bars = min(int(length), int(np.searchsorted(bars["close_ns"], tail_end, side="right")))
            if row.next_bar < row.n_bars:
                row.next_close_ns = bars["close_ns"][row.next_bar]
        while arena.play():
            pass
    arena.finish()
    return state, reason, since, last_ns


def _is_open(arena: Arena) -> bool:
    return any(int(book.seen.n_positions) + int(book.n_queue) > 0 for book in arena.books)


def join_windows(run: ResolvedRun, plays: Sequence[WindowPlay], *, seconds: float) -> BacktestResult:
    """Return windows that follow one another as one result.

    Args:
        run: The study's run, for its names and settings.
        plays: In order of time; the capital of each is what the account was worth when it began.
        seconds: Time spent playing.
    """
    tags = run.strategy.TAGS
    trades = pl.concat([trade_table(play.trades, play.names, tags) for play in plays])
    rejects = pl.concat([reject_table(play.rejects, play.names, tags) for play in plays])
    (first_ns, _), (_, last_ns) = plays[0].window.bounds, plays[-1].window.bounds
    stopped = next((play for play in plays if play.state is not TradingState.ACTIVE), None)
    result = collect(run, new_arena(run, lanes=[]), seconds=seconds)
    n_bars = sum(play.n_bars for play in plays)
    return replace(
        result,
        capital=plays[0].capital,
        period=(first_ns, max(last_ns, int(plays[-1].equity["ts_ns"][-1]))),
        bars={name: _between(bars, first_ns, last_ns) for name, bars in result.bars.items()},
        trades=trades.sort("exit_ns", "entry_ns", maintain_order=True),
        equity=equity_table(joined_equity(plays)),
        rejects=rejects.sort("ts_ns", maintain_order=True),
        timing={"bars": n_bars, "seconds": seconds, "bars_per_second": n_bars / seconds if seconds > 0 else 0.0},
        status={
            "state": (stopped.state if stopped else TradingState.ACTIVE).name,
            "since": stopped.since_ns if stopped else None,
            "reason": ExitReason(stopped.reason).name.lower() if stopped else "",
        },
    )


def worth_at(plays: Sequence[WindowPlay], capital: float, ts_ns: int) -> float:
    """Return what the account is worth at an instant: capital and what every window has made until then."""
    total = capital
    for play in plays:
        row = int(np.searchsorted(play.equity["ts_ns"], ts_ns, side="right")) - 1
        if row >= 0:
            total += float(play.equity["equity"][row]) - play.capital
    return total


def joined_equity(plays: Sequence[WindowPlay]) -> Any:
    """Return EQUITY points of windows that follow one another; where a tail overlaps, profits add up."""
    times = np.unique(np.concatenate([play.equity["ts_ns"] for play in plays]))
    points = new_records(len(times), EQUITY)
    points["ts_ns"] = times
    base = plays[0].capital
    for name in ("equity", "balance", "worst_equity"):
        points[name] = base
    for play in plays:
        own = play.equity["ts_ns"]
        rows = np.searchsorted(own, times, side="right") - 1
        begun, ended = rows >= 0, times > own[-1]
        at = np.maximum(rows, 0)
        is_own = own[at] == times
        for name in ("equity", "balance"):
            points[name] += np.where(begun, play.equity[name][at] - play.capital, 0.0)
        worst = np.where(is_own, play.equity["worst_equity"][at], play.equity["equity"][at])
        points["worst_equity"] += np.where(begun, worst - play.capital, 0.0)
        for name in ("margin_used", "n_positions"):
            points[name] += np.where(begun & ~ended, play.equity[name][at], 0).astype(points[name].dtype)
        points["trading_state"] = np.where(begun & ~ended, play.equity["trading_state"][at], points["trading_state"])
    return points


def _between(bars: Any, first_ns: int, last_ns: int) -> Any:
    begin, end = np.searchsorted(bars["open_ns"], [first_ns, last_ns])
    return bars[int(begin) : int(end)]

"""Prepare once what many plays share: bars, calendar and costs; then play any variant in any window of it.

A variant differs from another in its parameters alone, unless it asks for other bars or another calendar: variants
that ask for the same share a stage. Windows are views into the same bars. State may warm up on the bars before a
window; nothing is entered there, and nothing after the window is seen.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tradesentry.backtest.data import Bars, MarketData
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena, new_lanes
from tradesentry.backtest.source_code import code_digest
from tradesentry.backtest.studies.outcome import Outcome, nothing, outcome_of
from tradesentry.core.domain.records import BAR, MARKET
from tradesentry.core.strategy.base_strategy import StrategyConfig

DIGEST_BYTES = 12
FAR_FUTURE = 1 << 62


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a period: entries from `start_ns` on, bars up to `end_ns`. None is the end of the data."""

    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def bounds(self) -> tuple[int, int]:
        """Return both ends; those of all time where they are the data's."""
        return self.start_ns or 0, FAR_FUTURE if self.end_ns is None else self.end_ns


WHOLE = Window()


@dataclass(frozen=True, slots=True)
class Section:
    """A resolved run cut to a window."""

    run: ResolvedRun
    n_before: tuple[int, ...]
    """Bars per series before the window, for states to warm up on."""
    first_ns: int
    """Open of the first bar inside the window."""
    is_cut: bool
    """Whether bars before the window are there."""
    has_bars: bool = True
    """Whether any market has a bar inside the window."""


@dataclass(frozen=True)
class Stage:
    """What variants share on one set of markets."""

    run: ResolvedRun

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Travel as plain arrays, which other processes may map without a copy, and without what can be made again."""
        data = self.run.data
        series = tuple(replace(one, bars=_plain(one.bars, BAR)) for one in data.series)
        fine = tuple(_plain(one, BAR) for one in data.fine)
        run = replace(self.run, data=MarketData(series, data.n_traded, fine), markets=None)
        return _unpacked, (run, _plain(self.run.markets, MARKET))

    @cached_property
    def digest(self) -> str:
        """Return the digest of everything that shapes a result besides variant, window and cost scale."""
        return _digest([_data_identity(self.run), _settings_identity(self.run), code_digest(self.run.strategy)])

    def params_digest(self, config: StrategyConfig, key: str) -> str:
        """Return the digest of a variant's parameter record: what it takes from files, such as weights, counts too.

        Args:
            config: Of the variant.
            key: Hash of the variant; its digest is computed once.
        """
        if key not in self._params_digests:
            self._params_digests[key] = _records_digest(self.run.strategy.new_params(config))
        return self._params_digests[key]

    @cached_property
    def _params_digests(self) -> dict[str, str]:
        return {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the markets that are traded."""
        return tuple(series.symbol for series in self.run.data.series[: self.run.data.n_traded])

    @property
    def span(self) -> tuple[int, int]:
        """Return the first open and the last close of the traded markets."""
        traded = self.run.data.series[: self.run.data.n_traded]
        return min(int(s.bars["open_ns"][0]) for s in traded), max(int(s.bars["close_ns"][-1]) for s in traded)

    def with_config(self, config: StrategyConfig) -> ResolvedRun:
        """Return the stage's run with another variant's configuration."""
        return replace(self.run, resolved=replace(self.run.resolved, value=config))

    def section(self, config: StrategyConfig, window: Window) -> Section:
        """Return the run of a variant cut to a window, with the bars before it that the variant warms up on."""
        run = self.with_config(config)
        series = run.data.series
        if window == WHOLE:
            return Section(run, (0,) * len(series), self.span[0], False)
        n_warm = run.strategy.bars_needed(config)
        parts, fine, before = [], [], []
        for i, one in enumerate(series):
            opens, closes = one.bars["open_ns"], one.bars["close_ns"]
            first = 0 if window.start_ns is None else int(np.searchsorted(opens, window.start_ns))
            end = len(opens) if window.end_ns is None else int(np.searchsorted(closes, window.end_ns, side="right"))
            begin = max(0, first - n_warm)
            parts.append(replace(one, bars=one.bars[begin:end].view(np.recarray)))
            fine.append(_fine_between(run.data.fine[i], parts[-1].bars))
            before.append(first - begin)
        cut = replace(run, data=MarketData(tuple(parts), run.data.n_traded, tuple(fine)))
        inside = [p.bars["open_ns"][n] for p, n in zip(parts, before, strict=True) if n < len(p.bars)]
        first_ns = int(min(inside)) if inside else int(window.start_ns or 0)
        return Section(cut, tuple(before), first_ns, any(before), bool(inside))

    def play(self, config: StrategyConfig, window: Window = WHOLE, *, cost_scale: float | None = None) -> Outcome:
        """Play one variant in one window on an account of its own."""
        section = self.section(config, window)
        if not section.has_bars:
            return nothing(section.run.settings.capital)
        scale = section.run.settings.cost_scale if cost_scale is None else cost_scale
        run = replace(section.run, markets=self._markets_at(scale))
        arena = new_arena(run, cost_scale=scale, lanes=new_lanes(run, n_before=section.n_before))
        arena.run()
        return outcome_of(
            arena,
            capital=section.run.settings.capital,
            first_ns=section.first_ns,
            from_ns=section.first_ns if section.is_cut else None,
        )

    def _markets_at(self, scale: float) -> Any:
        """Return the markets with a cost scale, shared by all plays: engines only read them."""
        if scale not in self._scaled:
            markets = self.run.markets.copy()
            markets["cost_scale"] = scale
            self._scaled[scale] = markets
        return self._scaled[scale]

    @cached_property
    def _scaled(self) -> dict[float, Any]:
        return {}

    def n_bars(self, window: Window = WHOLE) -> int:
        """Return the bars of the traded markets in a window, for progress."""
        total = 0
        for series in self.run.data.series[: self.run.data.n_traded]:
            opens = series.bars["open_ns"]
            first = 0 if window.start_ns is None else int(np.searchsorted(opens, window.start_ns))
            end = len(opens) if window.end_ns is None else int(np.searchsorted(opens, window.end_ns))
            total += max(0, end - first)
        return total


def _plain(records: Any, dtype: Any) -> Any:
    return np.ascontiguousarray(records).view(np.ndarray).view(dtype)


def _unpacked(run: ResolvedRun, markets: Any) -> Stage:
    """Return the stage that `Stage.__reduce__` packed."""
    series = tuple(replace(one, bars=one.bars.view(np.recarray)) for one in run.data.series)
    data = MarketData(series, run.data.n_traded, run.data.fine)
    return Stage(replace(run, data=data, markets=markets.view(np.recarray)))


class Stages:
    """The stages of a study, each prepared when first needed.

    Args:
        name: Strategy.
        base: The resolved base run with the markets of the study.
    """

    def __init__(self, name: str, base: ResolvedRun) -> None:
        self.name = name
        self.base = base
        self._made: dict[str, Stage] = {_stage_key(base.config, _traded(base)): Stage(base)}

    def of(self, config: StrategyConfig, symbols: Sequence[str] | None = None) -> tuple[str, Stage]:
        """Return the key and the stage of a variant on markets of the study; all of them when None."""
        wanted = tuple(_traded(self.base) if symbols is None else symbols)
        key = _stage_key(config, wanted)
        if key not in self._made:
            self._made[key] = self._prepare(config, wanted)
        return key, self._made[key]

    def __getitem__(self, key: str) -> Stage:
        return self._made[key]

    def all(self) -> Mapping[str, Stage]:
        """Return every stage made so far, by key."""
        return dict(self._made)

    def _prepare(self, config: StrategyConfig, symbols: tuple[str, ...]) -> Stage:
        shared = self.base if config.timeframe == self.base.config.timeframe else None
        bars: Bars | None = None if shared is None else _series_for(shared, symbols)
        values = config.model_dump() | {"symbols": list(symbols)}
        settings = self.base.settings
        run = resolve_run(self.name, bars=bars, config=values, settings=settings)
        return Stage(run)


def _digest(parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _data_identity(run: ResolvedRun) -> list[Any]:
    rows: list[Any] = []
    for series, fine in zip(run.data.series, run.data.fine, strict=True):
        marks = [_records_digest(series.bars), _records_digest(fine)]
        rows.append([series.symbol, series.timeframe, len(series.bars), *marks])
    # What Python made of names and files: instruments, costs, calendar, news, conversion.
    return [*rows, run.data.n_traded, _records_digest(run.markets)]


def _records_digest(records: Any) -> str:
    """Return the digest of the values of records; bytes between the fields say nothing and differ between processes."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    waiting = [np.asarray(records).view(np.ndarray)]
    while waiting:
        part = waiting.pop()
        if part.dtype.names is None:
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            waiting += [part[name] for name in part.dtype.names]
    return digest.hexdigest()


def _settings_identity(run: ResolvedRun) -> Any:
    kept: RunSettings = run.settings
    return [kept.capital, kept.account_currency, kept.cost_scale, run.limits.model_dump(mode="json")]


def _stage_key(config: StrategyConfig, symbols: Sequence[str]) -> str:
    return _digest([config.timeframe, config.intrabar, repr(config.calendar()), list(symbols)])


def _traded(run: ResolvedRun) -> tuple[str, ...]:
    return tuple(series.symbol for series in run.data.series[: run.data.n_traded])


def _series_for(run: ResolvedRun, symbols: Sequence[str]) -> list[Any]:
    """Return the series of the symbols and those that convert for them."""
    rows = {series.symbol: i for i, series in enumerate(run.data.series)}
    wanted = {rows[symbol] for symbol in symbols}
    crosses = {int(run.markets["cross_index"][row]) for row in wanted}
    return [run.data.series[row] for row in sorted(wanted | {row for row in crosses if row >= 0})]


def _fine_between(fine: Any, bars: Any) -> Any:
    if not len(fine) or not len(bars):
        return fine[:0]
    first, end = np.searchsorted(fine["open_ns"], [int(bars["open_ns"][0]), int(bars["close_ns"][-1])])
    return fine[int(first) : int(end)]

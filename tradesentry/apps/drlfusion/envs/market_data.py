"""Bring together what environments read: bars of several markets, their mirrors, features, costs, conversions.

Every market is followed by its mirror, so no agent can learn that a symbol rises: what pays on one pays with the other
sign on its twin. A mirrored market swaps the swaps of its sides; all other costs are the same. Separate from the
environment, because a data set is made once and read by training, validation and every seed.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.episodes import CROSS, follow_cross
from tradesentry.apps.drlfusion.envs.features import FEATURE, feature_file, feature_rows
from tradesentry.apps.drlfusion.helpers import BARS_NEEDED, N_FEATURES
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.core.domain.errors import DataError
from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import BAR, MARKET, QUOTE
from tradesentry.core.market.mirror import mirror, on_grid
from tradesentry.core.utils.kernel import new_records

FIRST_CENTERED: Final = 14
"""Features before it are divided only, so that a mirror stays a change of sign; from 19 on they are left alone."""
FIRST_PLAIN: Final = 19


@dataclass(frozen=True, slots=True, eq=False)
class MarketData:
    """Bars that episodes are drawn from, a row per market or mirror."""

    bars: npt.NDArray[Any]
    """BAR, shape (n_rows, n_bars); a shorter row ends in zeros."""
    features: npt.NDArray[Any]
    """FEATURE, same shape, raw."""
    markets: Any
    """MARKET array, shape (n_rows,); index 0, a converting market is number 1."""
    crosses: npt.NDArray[Any] | None
    """CROSS, same shape as the bars; None where no market converts."""
    lengths: npt.NDArray[np.int64]
    """Bars of each row, shape (n_rows,)."""
    symbols: tuple[str, ...]
    """One per row; the mirror of EURUSD is called -EURUSD."""
    is_always_open: bool = False

    def row_of(self, symbol: str) -> int:
        """Return the row of a symbol."""
        return self.symbols.index(symbol)


@dataclass(frozen=True, slots=True, eq=False)
class ModelConstants:
    """What a model takes from its training slice besides weights: the normalizer and the turbulence gate."""

    obs_mean: npt.NDArray[np.float64]
    obs_scale: npt.NDArray[np.float64]
    turbulence_q90: float = 0.0
    turbulence_q99: float = 0.0

    @classmethod
    def plain(cls) -> "ModelConstants":
        """Return constants that change nothing and gate nothing."""
        return cls(np.zeros(N_FEATURES), np.ones(N_FEATURES))

    def fill(self, record: Any) -> None:
        """Write the constants into a parameter record of the app."""
        record["obs_mean"], record["obs_scale"] = self.obs_mean, self.obs_scale
        record["turbulence_q90"], record["turbulence_q99"] = self.turbulence_q90, self.turbulence_q99


def fit_constants(data: MarketData, first: int, last: int) -> ModelConstants:
    """Fit normalizer and gate on a training slice and its mirror.

    Features 1 to 14 are divided by their root mean square, never centered; 15 to 19 are centered and divided by their
    deviation; the others stay. The mirror changes the sign of odd features and nothing of even ones, so the figures of
    a slice and of its exact mirror are those of the slice.

    Args:
        data: The data set.
        first: First bar of the slice; the warm-up of the series is left out.
        last: Last bar, inclusive.

    Raises:
        DataError: No bar is left.
    """
    begin = max(first, BARS_NEEDED)
    parts = [data.features[i, begin : min(last + 1, n)] for i, n in enumerate(data.lengths)]
    rows = np.concatenate([part[part["is_good"]] for part in parts])
    if not len(rows):
        raise DataError(
            f"Bars {first} to {last} leave nothing to fit a normalizer on after {BARS_NEEDED} bars of warm-up. Train "
            "on a longer period."
        )
    values = rows["market"].astype(np.float64)
    found = ModelConstants.plain()
    odd = np.sqrt(np.mean(values[:, :FIRST_CENTERED] ** 2, axis=0))
    even = values[:, FIRST_CENTERED:FIRST_PLAIN]
    found.obs_mean[FIRST_CENTERED:FIRST_PLAIN] = even.mean(axis=0)
    scale = np.concatenate((odd, even.std(axis=0)))
    found.obs_scale[:FIRST_PLAIN] = np.where(scale > 0.0, scale, 1.0)
    q90, q99 = np.quantile(rows["turbulence"], (0.9, 0.99))
    return replace(found, turbulence_q90=float(q90), turbulence_q99=float(q99))


def twin_market(market: Any) -> Any:
    """Return the MARKET of the mirror, shape (1,): what a long earns overnight here, a short earns there."""
    twin = market.copy()
    twin["swap_long"], twin["swap_short"] = market["swap_short"], market["swap_long"]
    return twin


def _cross_rows(run: ResolvedRun, row: int, bars: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the quotes that convert market `row` at the closes of `bars`, CROSS array."""
    out = np.zeros(len(bars), CROSS).view(np.recarray)
    other = int(run.markets["cross_index"][row])
    if other < 0:
        return out
    quote = new_records(1, QUOTE)
    quote["atr"] = np.nan
    series = run.data.series[other].bars.view(np.recarray)
    status = follow_cross(run.markets[other], quote[0], series, np.ascontiguousarray(bars["close_ns"]), out)
    if status != Status.OK:
        raise DataError(
            f"Bars of {run.data.series[other].symbol}, which converts, lie outside the calendar of the run.",
            code="no_calendar",
        )
    return out


def _market_of(run: ResolvedRun, row: int) -> Any:
    """Return the MARKET of a traded series as an environment knows it, shape (1,)."""
    market = run.markets[row : row + 1].copy()
    market["index"] = 0
    market["cross_index"] = np.where(market["cross_index"] >= 0, 1, -1)
    market["cost_scale"] = run.settings.cost_scale
    return market


def market_data(
    run: ResolvedRun, *, config: DrlFusionConfig | None = None, mirrors: bool = True, folder: Path | None = None
) -> MarketData:
    """Return the data set of a resolved run.

    Args:
        run: Bars, calendar, costs and conversions; its strategy is not asked.
        config: Configuration of the app; the run's own when None.
        mirrors: Whether every market is followed by its mirror.
        folder: Where features are kept in files, to be mapped by several processes; in memory when None.

    Raises:
        DataError: A series is empty, or bars lie outside the calendar.
    """
    chosen: Any = run.config if config is None else config
    bars, markets, crosses, symbols = [], [], [], []
    for row, series in enumerate(run.data.series[: run.data.n_traded]):
        if not len(series.bars):
            raise DataError(f"{series.symbol} has no bars. Choose a longer period or another source.")
        cross = _cross_rows(run, row, series.bars)
        market = _market_of(run, row)
        sides = [(series.symbol, np.ascontiguousarray(series.bars, BAR), market)]
        if mirrors:
            tick = run.items[row].tick
            turned = mirror(on_grid(series.bars, tick), tick=tick)
            sides.append((f"-{series.symbol}", np.ascontiguousarray(turned, BAR), twin_market(market)))
        for symbol, rows, record in sides:
            symbols.append(symbol)
            bars.append(rows)
            markets.append(record)
            crosses.append(cross)
    n_bars = max(map(len, bars))
    stacked = new_records(len(markets), MARKET)
    for i, record in enumerate(markets):
        stacked[i] = record[0]
    return MarketData(
        bars=_padded(bars, n_bars, BAR),
        features=_features(bars, stacked, chosen, n_bars=n_bars, folder=folder),
        markets=stacked,
        crosses=_padded(crosses, n_bars, CROSS) if np.any(stacked["cross_index"] >= 0) else None,
        lengths=np.array([len(rows) for rows in bars], np.int64),
        symbols=tuple(symbols),
        is_always_open=all(item.is_always_open for item in run.items[: run.data.n_traded]),
    )


def _padded(parts: list[npt.NDArray[Any]], n_bars: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return rows of equal length."""
    out = np.zeros((len(parts), n_bars), dtype)
    for i, part in enumerate(parts):
        out[i, : len(part)] = part
    return out


def _features(
    bars: list[npt.NDArray[Any]], markets: Any, config: DrlFusionConfig, *, n_bars: int, folder: Path | None
) -> npt.NDArray[Any]:
    """Return the FEATURE rows of all markets."""
    if folder is not None:
        return feature_file(folder, bars, markets, config, n_bars=n_bars)
    made = [feature_rows(rows, markets[i : i + 1], config) for i, rows in enumerate(bars)]
    return _padded(made, n_bars, FEATURE)

"""Cut a resolved run into what is learned from and what judges: one data set, with a gap between the two parts.

The cut is a moment, not a row number, so that markets with other gaps are cut at the same time; the gap before it is as
long as a position or an advantage may reach. Presets name runs whose data and sizes are fixed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.market_data import MarketData, market_data
from tradesentry.apps.drlfusion.layout import BARS_NEEDED
from tradesentry.apps.drlfusion.trainers.data_set import LEAST_BARS, DataSet, cut_rows, joined, new_data_set, purge_bars
from tradesentry.apps.drlfusion.training_config import TrainingConfig
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, resolve_run
from tradesentry.backtest.studies.walks import FitWindow
from tradesentry.core.domain.errors import DataError
from tradesentry.core.market.bars import utc_text
from tradesentry.core.utils.config_loader import load_config
from tradesentry.core.utils.config_model import FrozenModel

APP: Final = "drlfusion"
CONFIG_FILE: Final = Path(__file__).resolve().parents[1] / "configs" / "drlfusion_config.yaml"
DEFAULT_VALIDATION: Final = 0.11
"""Share of the bars that judge: three months of twenty-seven."""


class Preset(FrozenModel):
    """A named training whose data and sizes are fixed, so that it can be repeated to the byte."""

    source: str = Field(description="Source of the bars.")
    noise_source: str | None = Field(None, description="Bars without a pattern, to learn to leave them alone.")
    symbols: tuple[str, ...] = Field(min_length=1, description="Markets.")
    timeframe: str = Field("H1", description="Length of a bar.")
    from_: str = Field(description="First open.")
    to: str = Field(description="Opens at or after it are left out.")
    validation_bars: int = Field(ge=500, description="Bars at the end that judge.")
    test_source: str = Field(description="Source of bars that nothing was chosen on.")
    test_from: str = Field(description="First open of the test.")
    test_bars: int = Field(20_000, ge=1_000, description="Bars of the test.")
    training: TrainingConfig = Field(TrainingConfig(), description="Sizes, seeds and hyper-parameters.")


def load_preset(name: str) -> Preset:
    """Return a preset of the app's configuration file.

    Args:
        name: Section of the file, such as `shipped`.

    Raises:
        ConfigError: There is none, or it is wrong.
    """
    return load_config(Preset, path=CONFIG_FILE, section=name).value


def load_training(overrides: Sequence[str] = (), *, path: Path | None = None) -> TrainingConfig:
    """Return how agents are trained: defaults, the section `training` of a file, overrides.

    Args:
        overrides: `key=value` texts.
        path: A file instead of the app's own.

    Raises:
        ConfigError: Anything unknown or out of bounds.
    """
    return load_config(TrainingConfig, path=path or CONFIG_FILE, section="training", overrides=overrides).value


def preset_data(preset: Preset, folder: Path) -> tuple[ResolvedRun, DataSet]:
    """Return the run and the data set of a preset.

    Args:
        preset: What is fixed.
        folder: Where features are kept.
    """
    runs = [_run_on(preset, source) for source in (preset.source, preset.noise_source) if source is not None]
    parts = [
        cut(
            market_data(run, folder=folder),
            validation_bars=preset.validation_bars,
            gap=purge_bars(_config_of(run), preset.training),
        )
        for run in runs
    ]
    train, validation = (joined([part[i] for part in parts]) for i in range(2))
    facts = dict(facts_of(runs[0], train, validation)) | {"noise_source": preset.noise_source}
    return runs[0], new_data_set(train, validation, config=_config_of(runs[0]), facts=facts)


def _run_on(preset: Preset, source: str) -> ResolvedRun:
    config = {"symbols": list(preset.symbols), "timeframe": preset.timeframe}
    return resolve_run(APP, config=config, settings=RunSettings(source=source, from_=preset.from_, to=preset.to))


def _config_of(run: ResolvedRun) -> DrlFusionConfig:
    config: Any = run.config
    chosen: DrlFusionConfig = config
    return chosen


def data_set_of(
    run: ResolvedRun, training: TrainingConfig, *, validation_bars: int | None = None, folder: Path | None = None
) -> DataSet:
    """Return the data set of a run: all but its end is learned from, its end judges.

    Args:
        run: Bars, calendar, costs; its configuration says how is traded.
        training: Discount and decay, which set the gap.
        validation_bars: Bars that judge; a ninth of all when None.
        folder: Where features are kept, to be mapped by several processes.

    Raises:
        DataError: The run is too short.
    """
    config: Any = run.config
    market = market_data(run, folder=folder)
    wanted = validation_bars or max(500, round(DEFAULT_VALIDATION * int(market.lengths.min())))
    train, validation = cut(market, validation_bars=wanted, gap=purge_bars(config, training))
    facts = facts_of(run, train, validation)
    return new_data_set(train, validation, config=config, facts=facts, limits=run.settings.limits)


def data_set_of_windows(train: FitWindow, validation: FitWindow) -> DataSet:
    """Return the data set of a fold of a walk-forward.

    Args:
        train: What may be learned from, and the bars to warm up on.
        validation: What judges, and the bars to warm up on.

    Raises:
        DataError: Nothing is left to learn from.
    """
    config: Any = train.run.config
    features = train.folder / "features"
    whole = market_data(train.run, folder=features)
    spans = [
        (row, first, last)
        for row, length in enumerate(whole.lengths)
        for first, last in (_piece(whole.bars["open_ns"][row, :length], *piece.bounds) for piece in train.pieces)
        if last - first > BARS_NEEDED + LEAST_BARS
    ]
    if not spans:
        raise DataError(
            f"Fold {train.fold.index + 1} has no stretch of {BARS_NEEDED + LEAST_BARS} bars to train on. Lengthen "
            "--train."
        )
    learned, judged = cut_rows(whole, spans), market_data(validation.run, folder=features)
    facts = facts_of(train.run, learned, judged)
    return new_data_set(learned, judged, config=config, facts=facts, limits=train.run.settings.limits)


def _piece(opens: npt.NDArray[np.int64], start_ns: int, end_ns: int) -> tuple[int, int]:
    """Return first bar, warm-up included, and last bar of a stretch of time."""
    first, end = (int(np.searchsorted(opens, moment)) for moment in (start_ns, end_ns))
    return max(0, first - BARS_NEEDED), end - 1


def cut(market: MarketData, *, validation_bars: int, gap: int) -> tuple[MarketData, MarketData]:
    """Return the parts that are learned from and that judge.

    Args:
        market: Bars; all rows are cut at the same moment.
        validation_bars: Bars that judge, counted on the shortest row.
        gap: Bars left out before them.

    Raises:
        DataError: Nothing is left to learn from.
    """
    shortest = int(np.argmin(market.lengths))
    n = int(market.lengths[shortest])
    begin = n - validation_bars
    if begin - gap <= BARS_NEEDED + LEAST_BARS:
        raise DataError(
            f"{n:,} bars leave nothing to train on before {validation_bars:,} bars of validation, a gap of {gap} and a "
            f"warm-up of {BARS_NEEDED}. Use a longer period."
        )
    moment = market.bars["open_ns"][shortest, begin]
    rows = [(row, int(length)) for row, length in enumerate(market.lengths)]
    firsts = [int(np.searchsorted(market.bars["open_ns"][row, :length], moment)) for row, length in rows]
    train = [(row, 0, first - gap - 1) for (row, _), first in zip(rows, firsts, strict=True)]
    judged = [(row, max(0, first - BARS_NEEDED), n - 1) for (row, n), first in zip(rows, firsts, strict=True)]
    return cut_rows(market, train), cut_rows(market, judged)


def facts_of(run: ResolvedRun, train: MarketData, validation: MarketData) -> Mapping[str, Any]:
    """Return where the bars come from, for the metadata of models."""
    traded = run.data.series[: run.data.n_traded]
    given = traded[0].source or run.settings.source
    return {
        "source": run.settings.source if traded[0].is_synthetic else given,
        "is_synthetic": any(series.is_synthetic for series in traded),
        "symbols": [series.symbol for series in traded],
        "train": _span(train),
        "validation": _span(validation),
        "costs": {"profile": run.settings.costs, "scale": run.settings.cost_scale},
    }


def _span(part: MarketData) -> list[str]:
    """Return the first open after the warm-up and the last close of a part, UTC."""
    opens = [int(part.bars["open_ns"][row, BARS_NEEDED]) for row in range(len(part.lengths))]
    closes = [int(part.bars["close_ns"][row, length - 1]) for row, length in enumerate(part.lengths)]
    return [utc_text(min(opens)), utc_text(max(closes))]

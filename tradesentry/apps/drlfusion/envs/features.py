"""Write what the market shows, bar by bar, once per data set: the engine plays the bars with a step that only observes.

Thousands of episodes read the same bars, so the part of the observation that no position changes is computed once and
read from a file by every training process. It is the engine that plays them: the clock, the spread floors, the warm-up
and the kernel are those of the back-test, and a row here equals what `step` sees on that bar to the bit. Rows are raw;
a normalizer belongs to a model.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion import observation
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.layout import N_MARKET, OBSERVER, PARAMS, blank_params
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.core.domain.errors import DataError
from tradesentry.core.execution.costs import Conversion
from tradesentry.core.execution.decide import ANY_STEP, step_signature
from tradesentry.core.execution.setup import LIMIT_PROFILES, new_account, new_rules
from tradesentry.core.market.bars import checksum_of, timeframe_ns
from tradesentry.core.utils.kernel import (
    address_of,
    function_pointer,
    kernel,
    layout_digest,
    new_records,
    record_at,
    source_digest,
)

SEEN: Final = np.dtype([("close_ns", "i8"), ("close", "f8")], align=True)
"""What a decision reads of a bar, its price on the tick grid."""
FEATURE: Final = np.dtype(
    [
        ("market", "f4", (N_MARKET,)),  # raw, clipped
        ("is_good", "b1"),  # False: a bar that contradicts itself, which no decision is made on
        ("atr", "f8"),  # ATR(14) with this bar, price units
        ("turbulence", "f8"),
        ("volatility", "f8"),  # annual, fraction
        ("bar", SEEN),
    ],
    align=True,
)
"""What a bar leaves behind for the decision: features, and the numbers that shape and size a target."""

OBSERVE_PARAMS: Final = np.dtype([("model", PARAMS), ("rows", "i8")], align=True)
CAPITAL: Final = 1e6
feature_at = record_at(FEATURE)

FeatureRows = npt.NDArray[np.void]


@kernel
def write_features(params: Any, observer: Any, bar: Any, view: Any, _intents: Any) -> int:
    """Observe one bar and write its row; ask for nothing.

    Args:
        params: OBSERVE_PARAMS; `rows` is the address of a FEATURE array, a row per bar.
        observer: OBSERVER.
        bar: BAR, closed.
        view: VIEW of this market.
        _intents: INTENT array, unused.
    """
    row = feature_at(params.rows, view.bar_index - 1)
    row.is_good = observation.observe_market(params.model, observer, bar, view)
    for i in range(observer.features.shape[0]):
        row.market[i] = observer.features[i]
    row.atr = observer.atr.value
    row.turbulence = observer.turbulence
    row.volatility = observer.volatility
    seen = observer.hygiene.bar
    row.bar.close_ns = seen.close_ns
    row.bar.close = seen.close
    return 0


@cache
def _pointer() -> Any:
    return function_pointer(write_features, exact=step_signature(OBSERVE_PARAMS, OBSERVER), general=ANY_STEP)


def _write(bars: npt.NDArray[Any], market: Any, config: DrlFusionConfig, rows: FeatureRows) -> None:
    """Play `bars` and fill `rows`.

    Args:
        bars: BAR array.
        market: MARKET array, shape (1,).
        config: Gives the length of a bar.
        rows: FEATURE array, shape of `bars`.
    """
    market = market.copy()
    # What money is worth changes no feature, and a market that converts is not here.
    market["index"], market["conversion"], market["fixed_rate"] = 0, int(Conversion.FIXED), 1.0
    params = new_records(1, OBSERVE_PARAMS)
    params["model"] = blank_params(config)
    params["rows"] = address_of(rows)
    rules = new_rules(bar_ns=timeframe_ns(config.timeframe), pip=float(market["pip"][0]), weekend="hold")
    account = new_account(CAPITAL, LIMIT_PROFILES["off"], n_currencies=1, equity_step_ns=1 << 61)
    lane = Lane(0, params, new_records(1, OBSERVER), rules[0])
    Arena(_pointer(), markets=market, bars=[bars], lanes=[lane], account=account).run()


def feature_rows(bars: npt.NDArray[Any], market: Any, config: DrlFusionConfig) -> FeatureRows:
    """Return the features of one market.

    Args:
        bars: BAR array, shape (n_bars,).
        market: MARKET array with its calendar, shape (1,).
        config: Configuration; its timeframe is read.

    Returns:
        FEATURE array, shape (n_bars,). Rows before the 97th bar hold zeros.

    Raises:
        DataError: A bar lies outside the calendar.
    """
    rows = np.zeros(len(bars), FEATURE).view(np.recarray)
    if len(bars):
        _write(bars, market, config, rows)
    return rows


def feature_key(bars: Sequence[npt.NDArray[Any]], markets: Any, config: DrlFusionConfig) -> str:
    """Return the hash of all that the features of several markets hang on.

    Args:
        bars: BAR array per market.
        markets: MARKET array.
        config: Configuration; its timeframe is read.
    """
    digest = hashlib.sha256(f"{layout_digest(FEATURE)} {observation.OBSERVATION.hash} {config.timeframe}".encode())
    digest.update(source_digest(Path(__file__)).encode())
    for i, rows in enumerate(bars):
        digest.update(checksum_of(rows).encode())
        _hash_fields(digest, markets[i : i + 1].view(np.ndarray))
    return digest.hexdigest()


def _hash_fields(digest: Any, records: npt.NDArray[Any]) -> None:
    """Add the values of records to a digest: what lies between their fields is anything."""
    for name in records.dtype.names or ():
        values = records[name]
        if values.dtype.names is None:
            digest.update(np.ascontiguousarray(values).view(np.uint8).data)
        else:
            _hash_fields(digest, values)


def feature_file(
    folder: Path, bars: Sequence[npt.NDArray[Any]], markets: Any, config: DrlFusionConfig, *, n_bars: int
) -> npt.NDArray[np.void]:
    """Return the features of several markets from a file, which is written when it is not there.

    Args:
        folder: Where files named by their content are kept.
        bars: BAR array per market.
        markets: MARKET array.
        config: Configuration; its timeframe is read.
        n_bars: Rows per market; shorter markets leave the last ones zero.

    Returns:
        FEATURE array mapped from the file, shape (n_markets, n_bars); not to be changed.

    Raises:
        DataError: The file has another shape than the data.
    """
    path = folder / f"{feature_key(bars, markets, config)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # Two processes may write the same file at once; each writes its own and the last one is renamed over.
        draft = folder / f".{path.stem}.{os.getpid()}.npy"
        target = np.lib.format.open_memmap(draft, "w+", FEATURE, (len(bars), n_bars))
        for i, rows in enumerate(bars):
            target[i, : len(rows)] = feature_rows(rows, markets[i : i + 1], config)
        target.flush()
        draft.replace(path)
    found: npt.NDArray[np.void] = np.load(path, mmap_mode="r")
    if found.shape != (len(bars), n_bars) or found.dtype != FEATURE:
        raise DataError(
            f"The feature file {path} has shape {found.shape} and the data need {(len(bars), n_bars)}. It was damaged: "
            "delete it, and it is written again."
        )
    return found

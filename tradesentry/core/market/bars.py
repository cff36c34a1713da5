"""Hold market data in memory: series of bars and of ticks, and the names of timeframes.

The nouns that the catalog, the importers, resampling and validation share. Separate from the catalog so that none of
them needs a file to work on, and free of table libraries so that a back-test starts quickly.
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

import numpy as np

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.domain.records import BAR

BarArray: TypeAlias = np.recarray[Any, Any]
"""Records of BAR, shape (n_bars,)."""
Int64Array: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
FloatArray: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
WEEK_NS: Final = 7 * DAY_NS

TRADABLE_SIDES: Final = ("bid", "trade")
"""Price sides that a back-test takes as the bid."""

_UNIT_NS: Final = {"S": SECOND_NS, "M": MINUTE_NS, "H": HOUR_NS, "D": DAY_NS, "W": WEEK_NS}
_ALIASES: Final = {"D": "D1", "W": "W1", "1MIN": "M1", "DAILY": "D1", "HOURLY": "H1", "TICKS": "TICK"}


@dataclass(frozen=True, slots=True, eq=False)
class BarSeries:
    """Bars of one symbol from one source, with where they come from."""

    bars: BarArray
    """Records of BAR; mapped from the cache where the catalog has one. Not to be changed."""
    symbol: str
    source: str
    timeframe: str
    price_side: str
    """bid, ask, mid or trade."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Vendor, clock, tick, dates, licence and everything that was done to the data; JSON values."""
    checksum: str = ""
    """Digest of the bars."""

    @property
    def is_synthetic(self) -> bool:
        """Whether a generator made these bars."""
        return bool(self.provenance.get("is_synthetic", False))


@dataclass(frozen=True, slots=True, eq=False)
class TickSeries:
    """Quotes of one symbol from one source, oldest first."""

    ts_ns: Int64Array
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    symbol: str
    source: str
    provenance: dict[str, Any] = field(default_factory=dict)
    checksum: str = ""


def normalize_timeframe(timeframe: str) -> str:
    """Return the canonical name of a timeframe: `15m`, `m15` and `M15` are `M15`, `1d` and `D` are `D1`.

    Raises:
        UsageError: The text is no timeframe.
    """
    text = timeframe.strip().upper()
    text = _ALIASES.get(text, text)
    if text == "TICK":
        return text
    match = re.fullmatch(r"([SMHDW])(\d+)", text) or re.fullmatch(r"(\d+)([SMHDW])(?:IN)?", text)
    if not match:
        raise UsageError(f"Unknown timeframe {timeframe!r}. Write one such as M1, M5, M15, M30, H1, H4, D1 or W1.")
    first, second = match.groups()
    unit, count = (first, int(second)) if first.isalpha() else (second, int(first))
    if count == 0:
        raise UsageError(f"Unknown timeframe {timeframe!r}: its length is zero.")
    return _shortest_name(unit, count)


def _shortest_name(unit: str, count: int) -> str:
    length = count * _UNIT_NS[unit]
    for bigger in "WDHM":
        if length % _UNIT_NS[bigger] == 0:
            return f"{bigger}{length // _UNIT_NS[bigger]}"
    return f"{unit}{count}"


def timeframe_ns(timeframe: str) -> int:
    """Return the nominal length of a bar in nanoseconds; 0 for ticks."""
    name = normalize_timeframe(timeframe)
    return 0 if name == "TICK" else int(name[1:]) * _UNIT_NS[name[0]]


def timeframe_name(length_ns: int) -> str:
    """Return the name of a bar length in nanoseconds."""
    return _shortest_name("S", length_ns // SECOND_NS)


def empty_bars(n: int) -> BarArray:
    """Return `n` zeroed BAR records."""
    return np.zeros(n, BAR).view(np.recarray)


def checksum_of(*arrays: np.ndarray[Any, Any]) -> str:
    """Return a digest of the bytes of `arrays`, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def to_ns(moment: datetime | date | str | int | None) -> int | None:
    """Return a moment as nanoseconds UTC.

    Args:
        moment: Nanoseconds, an ISO date or date-time (UTC unless it carries an offset), or None.

    Raises:
        UsageError: The text is no ISO date.
    """
    if moment is None or isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise UsageError(f"{moment!r} is no date. Write 2024-05-31 or 2024-05-31T14:30 (UTC).") from error
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * SECOND_NS + aware.microsecond * 1_000


def utc_text(ts_ns: int) -> str:
    """Return a moment as people read it, to the second when it has seconds: 2024-05-31 14:30."""
    moment = datetime.fromtimestamp(ts_ns // SECOND_NS, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")

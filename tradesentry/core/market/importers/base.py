"""Define what an importer is: content of a file in, columns as the vendor wrote them out.

An importer knows one format and nothing else: not clocks, not sides, not validity. It says whether a file looks like
its own (`sniff`) and parses it (`read`); the pipeline does the rest for all formats alike.
"""

import gzip
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import FloatArray, Int64Array
from tradesentry.core.market.source_clock import SourceClock

PriceColumns: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Open, high, low, close, each of shape (n,)."""

HEAD_BYTES: Final = 8_192


@dataclass(frozen=True, slots=True)
class Content:
    """One data file, unpacked and decoded to UTF-8."""

    path: Path
    name: str
    """Name of the file, or of the member of its archive."""
    data: bytes

    @property
    def head(self) -> str:
        """The first few kilobytes as text."""
        return self.data[:HEAD_BYTES].decode("utf-8", errors="replace")

    @property
    def first_line(self) -> str:
        """The first line without its end."""
        return self.head.split("\n", 1)[0].strip("\r")

    @property
    def second_line(self) -> str:
        """The second line without its end; empty when there is none."""
        lines = self.head.split("\n", 2)
        return lines[1].strip("\r") if len(lines) > 1 else ""


@dataclass(frozen=True, slots=True)
class ReadHints:
    """What the user said about a file that some formats need for parsing."""

    symbol: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our names (time, open, high, low, close, volume, spread, bid, ask) to the file's, for generic tables."""
    time_format: str | None = None
    """strptime pattern of the time column of a generic table."""
    tick: float | None = None
    """Price of one point, where prices or spreads are written in points."""


@dataclass(slots=True, eq=False)
class RawBars:
    """Columns of a bar file as written: no clock applied, nothing checked."""

    times_ns: Int64Array
    prices: PriceColumns
    """Open, high, low, close."""
    is_utc: bool
    vendor: str
    lines: Int64Array | None = None
    """Line of each row in the file, from 1."""
    volume: FloatArray | None = None
    spread: FloatArray | None = None
    """Price units."""
    spread_points: FloatArray | None = None
    price_side: str = "bid"
    ask: PriceColumns | None = None
    """Ask open, high, low, close where the file has both sides; the other columns are then the bid."""
    clock: SourceClock | None = None
    """The clock where the format fixes one that is not UTC."""
    symbol: str | None = None
    timeframe: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class RawTicks:
    """Columns of a tick file as written."""

    times_ns: Int64Array
    bid: FloatArray
    ask: FloatArray
    is_utc: bool
    vendor: str
    lines: Int64Array | None = None
    bid_size: FloatArray | None = None
    ask_size: FloatArray | None = None
    clock: SourceClock | None = None
    symbol: str | None = None
    notes: list[str] = field(default_factory=list)


class Importer(Protocol):
    """One vendor format."""

    @property
    def name(self) -> str:
        """Stable name for --format."""

    @property
    def description(self) -> str:
        """The format in a few words."""

    def sniff(self, content: Content) -> bool:
        """Return whether the content looks like this format."""

    def read(self, content: Content, hints: ReadHints, /) -> RawBars | RawTicks:
        """Return the columns of the file.

        Raises:
            ImportRefused: The file is broken; names the line.
        """


_SYMBOL_WORDS = re.compile(
    r"(?<![A-Za-z])([A-Z]{6}|XA[UG]USD|US30m?|US500|NAS100|GER40|UK100|SPXUSD|[A-Z]{3}_[A-Z]{3})(?![A-Z])"
)
_TIMEFRAME_WORDS = re.compile(r"(?<![A-Za-z0-9])([MHD]\d{1,2}|\d{1,2}[mhdMHD])(?:in)?(?![A-Za-z0-9])")
_NOT_SYMBOLS: Final = frozenset({"EXPORT", "PRICES", "MINUTE", "SOURCE", "RECORD", "MARKET"})


def symbol_in_name(name: str) -> str | None:
    """Return the symbol that a file name shows, as in EURUSD_M15.csv; None when it shows none."""
    for match in _SYMBOL_WORDS.finditer(name):
        word = match.group(1).replace("_", "")
        if word not in _NOT_SYMBOLS:
            return word.removesuffix("m") if word.startswith("US30") else word
    return None


def timeframe_in_name(name: str) -> str | None:
    """Return the timeframe that a file name shows, as in EURUSD_M15.csv or EURUSD-1h.csv; None when it shows none."""
    match = _TIMEFRAME_WORDS.search(Path(name).stem.replace("_", " "))
    return match.group(1) if match else None


def open_content(path: Path) -> Content:
    """Return the content of a file: one member of a zip, a gzip stream, or plain; text as UTF-8.

    Raises:
        ImportRefused: Missing, empty, broken or ambiguous archive.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImportRefused(f"{path}: cannot be read ({error.strerror}). Check the path.", code="no_file") from error
    name = path.name
    if data[:4] == b"PK\x03\x04":
        name, data = _zip_member(path, data)
    elif data[:2] == b"\x1f\x8b":
        name = name.removesuffix(".gz")
        data = _gunzip(path, data)
    if not data and path.suffix != ".bi5":
        raise ImportRefused(f"{path}: is empty. Check that the download is complete.", code="no_bars")
    return Content(path, name, _as_utf8(data))


def _zip_member(path: Path, data: bytes) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".csv", ".json", ".tsv"))]
            names = names or [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise ImportRefused(
                    f"{path}: the archive holds {len(names)} data files, one is needed. Unpack it and name the files.",
                    code="archive",
                )
            return names[0], archive.read(names[0])
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ImportRefused(f"{path}: the archive is broken ({error}). Download it again.", code="archive") from error


def _gunzip(path: Path, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise ImportRefused(f"{path}: the archive is broken ({error}). Download it again.", code="archive") from error


def _as_utf8(data: bytes) -> bytes:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16").encode()
    return data.removeprefix(b"\xef\xbb\xbf")

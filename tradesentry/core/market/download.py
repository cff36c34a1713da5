"""Fetch history from where it is published: OANDA, Dukascopy, an MT5 terminal, ccxt venues.

Every download keeps what it has received in a work folder beside the catalog and goes on from there when it is started
again; the series enters the catalog only when the whole period is there and has passed validation. The parts are then
removed. Vendors' formats are parsed by the importers, so a download and a file give the same bars.
"""

import contextlib
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np

from tradesentry.core.domain.errors import DataError, UsageError
from tradesentry.core.market.bars import (
    DAY_NS,
    HOUR_NS,
    SECOND_NS,
    WEEK_NS,
    BarSeries,
    TickSeries,
    normalize_timeframe,
    timeframe_ns,
    utc_text,
)
from tradesentry.core.market.importers import ImportOptions, RawBars, RawTicks
from tradesentry.core.market.importers.bar_import import bar_series_from
from tradesentry.core.market.importers.crypto import parse_ohlcv
from tradesentry.core.market.importers.dukascopy import bi5_url_path, decode_bi5
from tradesentry.core.market.importers.oanda import parse_candles, time_ns
from tradesentry.core.market.importers.tick_import import tick_series_from
from tradesentry.core.market.polite_client import PoliteClient
from tradesentry.core.market.resample import bars_from_ticks, resample_series
from tradesentry.core.market.source_clock import SourceClock
from tradesentry.core.market.symbols import canonical, keeps_fx_week

OANDA_URLS: Final = MappingProxyType(
    {"practice": "https://api-fxpractice.oanda.com", "live": "https://api-fxtrade.oanda.com"}
)
DUKASCOPY_URL: Final = "https://datafeed.dukascopy.com/datafeed"
OANDA_PAGE: Final = 5_000
CCXT_PAGE: Final = 1_000
_OANDA_GRANULARITY: Final = {"D1": "D", "W1": "W"}
_SUNDAY_NS: Final = 3 * DAY_NS

Progress = Callable[[int, int], None]
"""Called with (done, total) of whatever is counted: hours, or nanoseconds of the period."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to download."""

    symbol: str
    timeframe: str
    from_ns: int
    to_ns: int
    """Bars opening at or after it are left out."""
    source: str

    def __post_init__(self) -> None:
        if self.to_ns <= self.from_ns:
            raise UsageError(f"The period ends at {utc_text(self.to_ns)}, before it begins. Change --from and --to.")


def _silent(_done: int, _total: int) -> None:
    """Report to nobody."""


class WorkFolder:
    """The parts of one unfinished download; each part is whole or absent.

    Args:
        root: Folder of unfinished downloads.
        wanted: What is downloaded; another period starts afresh.
        vendor: Name of the vendor.
    """

    def __init__(self, root: Path, wanted: Wanted, vendor: str) -> None:
        span = f"{wanted.from_ns // SECOND_NS}-{wanted.to_ns // SECOND_NS}"
        self.path = root / f"{vendor}-{wanted.source}-{canonical(wanted.symbol)}-{wanted.timeframe}-{span}"

    def has(self, name: str) -> bool:
        """Return whether a part is there."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Return a part."""
        return (self.path / name).read_bytes()

    def names(self) -> list[str]:
        """Return the parts there are, sorted."""
        return sorted(part.name for part in self.path.glob("[!.]*")) if self.path.is_dir() else []

    def write(self, name: str, data: bytes) -> None:
        """Keep a part: a temporary file, then renamed."""
        self.path.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(self.path / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise DataError(
                f"{self.path} cannot be written: {error.strerror}. Free space and run the same command again; what "
                "was received so far is kept.",
                code="disk_full",
            ) from error

    def remove(self) -> None:
        """Drop all parts."""
        shutil.rmtree(self.path, ignore_errors=True)


def _options(wanted: Wanted) -> ImportOptions:
    return ImportOptions(
        source=wanted.source,
        symbol=wanted.symbol,
        timeframe=wanted.timeframe,
        from_ns=wanted.from_ns,
        to_ns=wanted.to_ns,
    )


def download_oanda(
    wanted: Wanted, client: PoliteClient, work_root: Path, *, progress: Progress = _silent, page: int = OANDA_PAGE
) -> BarSeries:
    """Return OANDA candles of a period, bid with the spread at the close, page by page.

    Args:
        wanted: Symbol as EURUSD or EUR_USD.
        client: Carries base address and token (`Authorization: Bearer ...`).
        work_root: Folder of unfinished downloads.
        progress: Told after each page.
        page: Candles a request; the venue allows 5,000.

    Raises:
        BrokerError: The venue does not answer; what was received is kept.
        DataError: The period holds no candle.
    """
    name = canonical(wanted.symbol)
    instrument = wanted.symbol if "_" in wanted.symbol else f"{name[:-3]}_{name[-3:]}"
    timeframe = normalize_timeframe(wanted.timeframe)
    granularity = _OANDA_GRANULARITY.get(timeframe, timeframe)
    work = WorkFolder(work_root, wanted, "oanda")
    pages = [json.loads(work.read(part)) for part in work.names()]
    at = _after_last(pages, wanted)
    while at < wanted.to_ns:
        parameters = {"granularity": granularity, "price": "BA", "count": str(page), "from": _rfc3339(at)}
        body = client.get(f"/v3/instruments/{instrument}/candles", parameters)
        if body is None:
            raise DataError(f"OANDA has no instrument {instrument}. Check the symbol.", code="no_symbol")
        answer = json.loads(body)
        complete = [candle for candle in answer["candles"] if candle.get("complete", True)]
        answer["candles"] = [candle for candle in complete if time_ns(candle["time"]) >= at]
        if not answer["candles"]:
            progress(wanted.to_ns - wanted.from_ns, wanted.to_ns - wanted.from_ns)
            break
        work.write(f"page-{len(pages):06}.json", json.dumps(answer).encode())
        pages.append(answer)
        at = _after_last(pages, wanted)
        progress(min(at, wanted.to_ns) - wanted.from_ns, wanted.to_ns - wanted.from_ns)
    if not pages:
        raise _nothing(wanted)
    series = bar_series_from([parse_candles(pages, name=f"OANDA {instrument}")], _options(wanted))
    work.remove()
    return series


def _after_last(pages: list[dict[str, Any]], wanted: Wanted) -> int:
    return time_ns(pages[-1]["candles"][-1]["time"]) + SECOND_NS if pages else wanted.from_ns


def _rfc3339(moment_ns: int) -> str:
    return datetime.fromtimestamp(moment_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


def _nothing(wanted: Wanted) -> DataError:
    return DataError(
        f"{wanted.source} has no {wanted.symbol} {wanted.timeframe} from {utc_text(wanted.from_ns)} to "
        f"{utc_text(wanted.to_ns)} UTC. Check the symbol and the period.",
        code="empty_period",
    )


def trading_hours(wanted: Wanted) -> Iterator[int]:
    """Yield the starts of the hours of a period, Saturdays of closed markets left out, ns UTC."""
    skips_weekends = keeps_fx_week(canonical(wanted.symbol))
    for hour in range(wanted.from_ns - wanted.from_ns % HOUR_NS, wanted.to_ns, HOUR_NS):
        # Friday 22:00 to Sunday 21:00 UTC is closed under either New York offset.
        since_sunday = (hour - _SUNDAY_NS) % WEEK_NS
        if not skips_weekends or 21 * HOUR_NS <= since_sunday < 5 * DAY_NS + 22 * HOUR_NS:
            yield hour


def download_dukascopy(
    wanted: Wanted, client: PoliteClient, work_root: Path, *, progress: Progress = _silent
) -> BarSeries | TickSeries:
    """Return Dukascopy ticks of a period, or bars built from them, from one file per hour.

    Args:
        wanted: Timeframe TICK or a bar length.
        client: Carries the base address of the public feed.
        work_root: Folder of unfinished downloads.
        progress: Told after each hour.

    Raises:
        BrokerError: The feed does not answer; the hours received are kept.
        DataError: The period holds no tick.
    """
    symbol = canonical(wanted.symbol)
    work = WorkFolder(work_root, wanted, "dukascopy")
    hours = list(trading_hours(wanted))
    raws = []
    for n_done, hour in enumerate(hours, start=1):
        path = bi5_url_path(symbol, hour)
        part = path.replace("/", "-")
        if not work.has(part):
            work.write(part, client.get(f"/{path}") or b"")
        raw = decode_bi5(work.read(part), path)
        raw.notes.clear()
        if raw.times_ns.size:
            raws.append(raw)
        progress(n_done, len(hours))
    if not raws:
        raise _nothing(wanted)
    ticks = tick_series_from([_joined(raws)], _options(wanted))
    series = ticks if normalize_timeframe(wanted.timeframe) == "TICK" else _bars_of(ticks, wanted)
    work.remove()
    return series


def _joined(raws: list[RawTicks]) -> RawTicks:
    first = raws[0]
    sizes = [np.concatenate([getattr(raw, name) for raw in raws]) for name in ("bid_size", "ask_size")]
    return RawTicks(
        np.concatenate([raw.times_ns for raw in raws]), np.concatenate([raw.bid for raw in raws]),
        np.concatenate([raw.ask for raw in raws]), is_utc=True, vendor=first.vendor, symbol=first.symbol,
        bid_size=sizes[0], ask_size=sizes[1],
    )  # fmt: skip


def _bars_of(ticks: TickSeries, wanted: Wanted) -> BarSeries:
    timeframe = normalize_timeframe(wanted.timeframe)
    if timeframe_ns(timeframe) <= HOUR_NS:
        return bars_from_ticks(ticks, timeframe)
    return resample_series(bars_from_ticks(ticks, "M1"), timeframe)


class Mt5Terminal(Protocol):
    """The part of the MetaTrader5 package that a download needs."""

    def initialize(self) -> bool:
        """Connect to the running terminal."""

    def last_error(self) -> tuple[int, str]:
        """Return code and text of the last failure."""

    def copy_rates_range(self, symbol: str, timeframe: int, date_from: datetime, date_to: datetime) -> Any:
        """Return records time, open, high, low, close, tick_volume, spread, real_volume; None on failure."""

    def symbol_info(self, symbol: str) -> Any:
        """Return the symbol with its `point`; None when unknown."""


def mt5_terminal() -> Mt5Terminal:
    """Return the MetaTrader5 package.

    Raises:
        DataError: It is not installed, or no terminal runs.
    """
    terminal = _optional(
        "MetaTrader5", "It exists for Windows only: install it beside the terminal, or export bars there."
    )
    if not terminal.initialize():
        raise DataError(
            f"The MT5 terminal does not answer: {terminal.last_error()}. Start it, log in and try again.",
            code="mt5_terminal",
        )
    checked: Mt5Terminal = terminal
    return checked


def ccxt_exchange(name: str) -> Any:
    """Return a ccxt exchange by its name.

    Raises:
        DataError: ccxt is not installed.
        UsageError: ccxt knows no such exchange.
    """
    library = _optional("ccxt", "Install it with `pip install ccxt`.")
    if not hasattr(library, name):
        raise UsageError(f"ccxt knows no exchange {name!r}. See its list of exchanges.")
    return getattr(library, name)({"enableRateLimit": True})


def _optional(package: str, advice: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DataError(f"The package {package} is not installed. {advice}", code="missing_package") from error


def download_mt5(
    wanted: Wanted, terminal: Mt5Terminal, clock: SourceClock, *, progress: Progress = _silent
) -> BarSeries:
    """Return bars of a running MT5 terminal.

    Args:
        wanted: Symbol as the broker writes it.
        terminal: The MetaTrader5 package.
        clock: The broker server's clock; the terminal's Unix times are server time.
        progress: Told after each 30 days.

    Raises:
        DataError: The terminal gives no bars.
    """
    timeframe = normalize_timeframe(wanted.timeframe)
    info = terminal.symbol_info(wanted.symbol)
    if info is None:
        raise DataError(
            f"The MT5 terminal has no symbol {wanted.symbol!r}. Write it as in Market Watch.", code="no_symbol"
        )
    code = getattr(terminal, f"TIMEFRAME_{timeframe}", None)
    if code is None:
        raise UsageError(f"The MT5 terminal has no timeframe {timeframe}.")
    blocks = []
    # A day on either side, because the terminal's dates are server time.
    start, stop = wanted.from_ns - DAY_NS, wanted.to_ns + DAY_NS
    for begin in range(start, stop, 30 * DAY_NS):
        end = min(begin + 30 * DAY_NS, stop) - SECOND_NS
        dates = [datetime.fromtimestamp(at // SECOND_NS, UTC) for at in (begin, end)]
        rates = terminal.copy_rates_range(wanted.symbol, code, dates[0], dates[1])
        if rates is not None and len(rates):
            blocks.append(np.asarray(rates))
        progress(end - start, stop - start)
    if not blocks:
        raise _nothing(wanted)
    rates = np.concatenate(blocks)
    open_, high, low, close = (rates[part].astype(np.float64) for part in ("open", "high", "low", "close"))
    raw = RawBars(
        rates["time"].astype(np.int64) * SECOND_NS, (open_, high, low, close),
        is_utc=False, vendor="MetaTrader 5", clock=clock,
        volume=rates["tick_volume"].astype(np.float64), spread=rates["spread"] * float(info.point),
    )  # fmt: skip
    return bar_series_from([raw], _options(wanted))


def download_ccxt(
    wanted: Wanted, exchange: Any, work_root: Path, *, progress: Progress = _silent, page: int = CCXT_PAGE
) -> BarSeries:
    """Return the bars of a ccxt venue, page by page.

    Args:
        wanted: Symbol as ccxt writes it, BTC/USDT.
        exchange: A ccxt exchange, or anything with its `fetch_ohlcv`.
        work_root: Folder of unfinished downloads.
        progress: Told after each page.
        page: Bars a request.
    """
    timeframe = normalize_timeframe(wanted.timeframe)
    spelled = f"{timeframe[1:]}{timeframe[0].lower()}"
    step = timeframe_ns(timeframe)
    work = WorkFolder(work_root, wanted, "ccxt")
    rows: list[list[float]] = [row for part in work.names() for row in json.loads(work.read(part))]
    at = int(rows[-1][0]) * 1_000_000 + step if rows else wanted.from_ns
    while at < wanted.to_ns:
        answer = exchange.fetch_ohlcv(wanted.symbol, spelled, since=at // 1_000_000, limit=page)
        fresh = [row for row in answer if at <= int(row[0]) * 1_000_000 < wanted.to_ns]
        if not fresh:
            break
        work.write(f"page-{len(work.names()):06}.json", json.dumps(fresh).encode())
        rows += fresh
        at = int(rows[-1][0]) * 1_000_000 + step
        progress(min(at, wanted.to_ns) - wanted.from_ns, wanted.to_ns - wanted.from_ns)
    if not rows:
        raise _nothing(wanted)
    raw = parse_ohlcv(rows, name=wanted.symbol)
    raw.symbol, raw.timeframe = canonical(wanted.symbol), timeframe
    series = bar_series_from([raw], _options(wanted))
    work.remove()
    return series

"""Write the same bars and ticks in the words of each vendor."""

import gzip
import io
import json
import lzma
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.unit.core.market.fx_bars import ns
from tradesentry.core.market.bars import BarArray
from tradesentry.core.market.source_clock import SourceClock, utc_to_wall


def shown(at_ns: int, pattern: str, clock: str = "UTC") -> str:
    """Return what a wall clock showed, formatted; %f is milliseconds."""
    wall = int(utc_to_wall(np.array([at_ns]), SourceClock.parse(clock))[0])
    moment = datetime.fromtimestamp(wall // 10**9, UTC)
    return moment.strftime(pattern.replace("%f", f"{wall % 10**9 // 10**6:03}"))


def lines(bars: BarArray, row, header: str | None = None) -> bytes:
    """Return a text of one line per bar."""
    head = [] if header is None else [header]
    return ("\n".join(head + [row(bar) for bar in bars]) + "\n").encode()


def ohlc(bar, separator: str = ",", digits: int = 5) -> str:
    return separator.join(f"{value:.{digits}f}" for value in (bar.open, bar.high, bar.low, bar.close))


def points(bar) -> int:
    return round(bar.spread * 1e5)


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def mt5(bars, clock):
    header = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"
    return lines(
        bars,
        lambda b: "\t".join(
            [shown(b.open_ns, "%Y.%m.%d\t%H:%M:%S", clock), ohlc(b, "\t"), f"{b.volume:.0f}", "0", str(points(b))]
        ),
        header,
    )


def mt5_dotdate(bars, clock):
    header = "Date,Open,High,Low,Close,Tickvol,Volume,Spread"
    return lines(
        bars,
        lambda b: f"{shown(b.open_ns, '%Y.%m.%d %H:%M:%S', clock)},{ohlc(b)},{b.volume:.0f},0,{points(b)}",
        header,
    )


def mt4(bars, clock):
    return lines(bars, lambda b: f"{shown(b.open_ns, '%Y.%m.%d,%H:%M', clock)},{ohlc(b)},{b.volume:.0f}")


def mt5_rates(bars, clock):
    """Float noise as pandas prints it: 1.2910599999999999."""
    header = "time,open,high,low,close,tick_volume,spread,real_volume"
    return lines(
        bars,
        lambda b: (
            f"{shown(b.open_ns, '%Y-%m-%d %H:%M:%S', clock)},{np.nextafter(b.open, 0):.17g},{b.high:.5f},{b.low:.5f},"
            f"{b.close:.5f},{b.volume:.0f},{points(b)},0"
        ),
        header,
    )


def mt5_rates_epoch(bars, clock):
    header = "time,open,high,low,close,tick_volume,spread,real_volume"

    def row(b):
        wall = int(utc_to_wall(np.array([b.open_ns]), SourceClock.parse(clock))[0])
        return f"{wall // 10**9},{ohlc(b)},{b.volume:.0f},{points(b)},0"

    return lines(bars, row, header)


def histdata(bars, clock):
    return lines(bars, lambda b: f"{shown(b.open_ns, '%Y%m%d %H%M%S', clock)};{ohlc(b, ';', 6)};0")


def jforex(bars, _clock):
    header = "Gmt time,Open,High,Low,Close,Volume"
    return lines(bars, lambda b: f"{shown(b.open_ns, '%d.%m.%Y %H:%M:%S.000')},{ohlc(b)},{b.volume}", header)


def jforex_offset(bars, _clock):
    header = "Local time,Open,High,Low,Close,Volume"
    return lines(
        bars,
        lambda b: f"{shown(b.open_ns, '%d.%m.%Y %H:%M:%S.000', 'UTC+2')} GMT+0200,{ohlc(b)},{b.volume}",
        header,
    )


def dukascopy_node(bars, _clock):
    header = "timestamp,open,high,low,close,volume"
    return lines(bars, lambda b: f"{b.open_ns // 10**6},{ohlc(b)},{b.volume}", header)


def fxcm_one_side(bars, _clock):
    return lines(
        bars, lambda b: f"{shown(b.open_ns, '%Y-%m-%d %H:%M:%S')}+00:00,{ohlc(b)}", "timestamp,open,high,low,close"
    )


def fxcm_both(bars, _clock):
    header = "DateTime,BidOpen,BidHigh,BidLow,BidClose,AskOpen,AskHigh,AskLow,AskClose"

    def row(b):
        ask = ",".join(f"{value + b.spread:.5f}" for value in (b.open, b.high, b.low, b.close))
        return f"{shown(b.open_ns, '%m/%d/%Y %H:%M:%S.000')},{ohlc(b)},{ask}"

    return lines(bars, row, header)


def tradingview_iso(bars, _clock):
    header = "time,open,high,low,close,Volume,Plot"
    return lines(
        bars,
        lambda b: f"{shown(b.open_ns, '%Y-%m-%dT%H:%M:%S', 'UTC-4')}-04:00,{ohlc(b)},{b.volume:.0f},0.5",
        header,
    )


def tradingview_unix(bars, _clock):
    return lines(bars, lambda b: f"{b.open_ns // 10**9},{ohlc(b)},{b.volume:.0f}", "time,open,high,low,close,Volume")


def ccxt(bars, _clock):
    rows = [
        [int(b.open_ns // 10**6), *(round(float(b[n]), 5) for n in ("open", "high", "low", "close", "volume"))]
        for b in bars
    ]
    return json.dumps(rows).encode()


def binance(bars, _clock):
    return lines(bars, lambda b: f"{b.open_ns // 10**6},{ohlc(b)},{b.volume},{b.close_ns // 10**6 - 1},1.0,3,1.0,1.0,0")


def binance_micro(bars, _clock):
    return lines(bars, lambda b: f"{b.open_ns // 10**3},{ohlc(b)},{b.volume},{b.close_ns // 10**3 - 1},1.0,3,1.0,1.0,0")


def oanda(bars, _clock, sides=("bid", "ask"), granularity="M15"):
    def prices(b, side):
        shift = b.spread if side == "ask" else (b.spread / 2 if side == "mid" else 0.0)
        names = zip("ohlc", (b.open, b.high, b.low, b.close), strict=True)
        return {letter: f"{value + shift:.6f}" for letter, value in names}

    candles = [
        {
            "complete": True, "volume": int(b.volume), "time": shown(b.open_ns, "%Y-%m-%dT%H:%M:%S") + ".000000000Z",
            **{side: prices(b, side) for side in sides},
        }
        for b in bars
    ]  # fmt: skip
    candles.append(candles[-1] | {"complete": False, "time": "2030-01-01T00:00:00.000000000Z"})
    return json.dumps({"instrument": "EUR_USD", "granularity": granularity, "candles": candles}, indent=1).encode()


def generic(bars, clock):
    """Semicolons, date and time apart, our own words in other cases."""
    header = "Date;Time;Open;High;Low;Close;Vol"
    return lines(
        bars,
        lambda b: f"{shown(b.open_ns, '%Y-%m-%d;%H:%M', clock)};{ohlc(b, ';')};{b.volume:.0f}",
        header,
    )


def lean_quote(bars, day):
    start = ns(day)

    def row(b):
        ask = ",".join(f"{value + b.spread:.5f}" for value in (b.open, b.high, b.low, b.close))
        return f"{(b.open_ns - start) // 10**6},{ohlc(b)},0,{ask},0"

    name = day.replace("-", "")
    return zipped(f"{name}_eurusd_minute_quote.csv", lines(bars, row).strip())


def bi5(times_ms, bid, ask, point=1e-5):
    """Return the bytes of one hour of ticks, as the public feed has them."""
    records = b"".join(
        struct.pack(">IIIff", int(ms), round(a / point), round(b / point), 1.5, 2.5)
        for ms, b, a in zip(times_ms, bid, ask, strict=True)
    )
    return lzma.compress(records, format=lzma.FORMAT_ALONE)


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path

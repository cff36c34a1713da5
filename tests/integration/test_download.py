"""Downloads against a real HTTP server: pages, hours, faults, and going on after an interruption."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import DAY, HOUR, MINUTE, bars_at, fx_opens, ns, same_bars
from tradesentry.core.domain.errors import BrokerError, BrokerRejected, DataError, UsageError
from tradesentry.core.market.bars import BarSeries, TickSeries
from tradesentry.core.market.download import (
    Wanted,
    WorkFolder,
    ccxt_exchange,
    download_ccxt,
    download_dukascopy,
    download_mt5,
    download_oanda,
    mt5_terminal,
    trading_hours,
)
from tradesentry.core.market.polite_client import PoliteClient
from tradesentry.core.market.source_clock import SourceClock, utc_to_wall


class Clock:
    """Time that moves only when somebody sleeps."""

    def __init__(self):
        self.at = 0.0
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += seconds

    def now(self):
        return self.at


@pytest.fixture
def server():
    """A loopback server; `answer` turns (path, query, number of the request) into (status, body, headers)."""
    state = SimpleNamespace(answer=None, seen=Counter(), headers=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            state.seen[parts.path] += 1
            state.headers.append(dict(self.headers))
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            status, body, headers = state.answer(parts.path, query, sum(state.seen.values()))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def client(server, clock, **options):
    return PoliteClient(server.url, sleep=clock.sleep, now=clock.now, **options)


BARS = bars_at(fx_opens("2024-01-02", "2024-01-20", "M15"), "M15")
WANTED = Wanted("EURUSD", "M15", ns("2024-01-03"), ns("2024-01-12"), "oanda")


def expected():
    inside = (BARS.open_ns >= WANTED.from_ns) & (BARS.open_ns < WANTED.to_ns)
    return BARS[inside].view(np.recarray)


def oanda_answer(_path, query, _count):
    start = ns(query["from"].replace("Z", "+00:00")[:19])
    rows = np.flatnonzero(BARS.open_ns >= start)[: int(query["count"])]
    page = json.loads(vendor.oanda(BARS[rows].view(np.recarray), "UTC")) if rows.size else {"candles": []}
    page["candles"] = page["candles"][:-1]
    return 200, json.dumps(page).encode(), {}


def test_oanda_candles_arrive_page_by_page_with_the_spread(server, tmp_path):
    server.answer = oanda_answer
    told = []

    with client(server, Clock(), headers={"Authorization": "Bearer secret"}) as polite:
        series = download_oanda(WANTED, polite, tmp_path, progress=lambda *p: told.append(p), page=100)

    for part in ("open_ns", "open", "high", "low", "close", "spread", "volume"):
        assert np.array_equal(series.bars[part], expected()[part]), part
    assert server.seen["/v3/instruments/EUR_USD/candles"] == -(-expected().size // 100)
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert told[-1][0] == told[-1][1]
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again_after_a_growing_wait(server, tmp_path):
    faults = {2: (429, b"slow down", {"Retry-After": "7"}), 4: (500, b"oops", {}), 5: (503, b"busy", {})}
    server.answer = lambda path, query, count: faults.get(count) or oanda_answer(path, query, count)
    clock = Clock()

    with client(server, clock) as polite:
        series = download_oanda(WANTED, polite, tmp_path, page=200)

    assert same_bars(series.bars[["open_ns", "close"]], expected()[["open_ns", "close"]])
    assert [wait for wait in clock.slept if wait >= 1.0] == [7.0, 1.0, 2.0]


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    """Planted fault: with the parts ignored, the first page is asked for twice and this fails."""
    server.answer = lambda path, query, count: oanda_answer(path, query, count) if count <= 2 else (500, b"down", {})
    with client(server, Clock(), attempts=3) as polite, pytest.raises(BrokerError, match="run the same command again"):
        download_oanda(WANTED, polite, tmp_path, page=200)
    asked_before = sum(server.seen.values())
    firsts = []
    server.answer = lambda path, query, count: firsts.append(query["from"]) or oanda_answer(path, query, count)

    with client(server, Clock()) as polite:
        series = download_oanda(WANTED, polite, tmp_path, page=200)

    assert asked_before == 5
    assert firsts[0] > "2024-01-06"
    assert np.array_equal(series.bars.close, expected().close)


def test_a_refused_request_is_not_repeated(server, tmp_path):
    server.answer = lambda *_: (401, b'{"errorMessage": "Insufficient authorization"}', {})

    with client(server, Clock()) as polite, pytest.raises(BrokerRejected, match="Check the token"):
        download_oanda(WANTED, polite, tmp_path)

    assert sum(server.seen.values()) == 1


def test_a_server_that_is_gone_ends_in_words(tmp_path):
    clock = Clock()

    polite = PoliteClient("http://127.0.0.1:9", sleep=clock.sleep, now=clock.now, attempts=3)
    with polite, pytest.raises(BrokerError, match="3 attempts"):
        download_oanda(WANTED, polite, tmp_path)

    assert len(clock.slept) >= 2


def test_requests_keep_the_rate(server):
    server.answer = lambda *_: (200, b"x", {})
    clock = Clock()

    with client(server, clock, requests_per_second=4.0) as polite:
        for _ in range(9):
            polite.get("/x")

    assert clock.at == pytest.approx(2.0)


def hour_ticks(hour_ns):
    rng = np.random.default_rng(hour_ns // HOUR)
    times = np.sort(rng.integers(0, 3_600_000, 40))
    bid = np.round(1.1 + rng.integers(-50, 50, 40) * 1e-5, 5)
    return times, bid, np.round(bid + rng.integers(1, 9, 40) * 1e-5, 5)


def dukascopy_answer(path, _query, _count):
    parts = path.strip("/").split("/")
    moment = datetime(int(parts[1]), int(parts[2]) + 1, int(parts[3]), int(parts[4][:2]), tzinfo=UTC)
    hour = int(moment.timestamp()) * 10**9
    return (404, b"", {}) if moment.hour == 22 else (200, vendor.bi5(*hour_ticks(hour)), {})


DAY_WANTED = Wanted("EURUSD", "TICK", ns("2024-01-02"), ns("2024-01-03"), "dukascopy")


def test_dukascopy_hours_become_ticks_and_an_absent_hour_is_closed(server, tmp_path):
    server.answer = dukascopy_answer

    with client(server, Clock()) as polite:
        ticks = download_dukascopy(DAY_WANTED, polite, tmp_path)

    assert isinstance(ticks, TickSeries)
    assert ticks.ts_ns.size == 23 * 40
    assert server.seen["/EURUSD/2024/00/02/00h_ticks.bi5"] == 1
    assert np.array_equal(ticks.bid[:40], hour_ticks(ns("2024-01-02"))[1])


def test_dukascopy_bars_have_the_mean_spread_and_the_count_of_ticks(server, tmp_path):
    server.answer = dukascopy_answer
    wanted = Wanted("EURUSD", "H1", ns("2024-01-02"), ns("2024-01-03"), "dukascopy")

    with client(server, Clock()) as polite:
        series = download_dukascopy(wanted, polite, tmp_path)

    assert isinstance(series, BarSeries)
    _, bid, ask = hour_ticks(ns("2024-01-02 05:00"))
    bar = series.bars[series.bars.open_ns == ns("2024-01-02 05:00")][0]
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (bid[0], bid.max(), bid.min(), bid[-1], 40.0)
    assert bar.spread == pytest.approx((ask - bid).mean())


def test_dukascopy_goes_on_after_an_interruption_without_asking_twice(server, tmp_path):
    server.answer = lambda path, query, count: dukascopy_answer(path, query, count) if count <= 9 else (500, b"", {})
    with client(server, Clock(), attempts=2) as polite, pytest.raises(BrokerError):
        download_dukascopy(DAY_WANTED, polite, tmp_path)
    first = dict(server.seen)
    server.answer = dukascopy_answer

    with client(server, Clock()) as polite:
        ticks = download_dukascopy(DAY_WANTED, polite, tmp_path)

    assert ticks.ts_ns.size == 23 * 40
    assert all(server.seen[path] == count for path, count in first.items() if count == 1)


def test_a_half_written_part_is_not_taken_for_a_whole_one(tmp_path):
    work = WorkFolder(tmp_path, DAY_WANTED, "dukascopy")
    work.write("a", b"1")
    (work.path / ".new-x").write_bytes(b"half")

    assert work.names() == ["a"]


def test_closed_weekends_are_not_asked_for_but_a_market_that_never_closes_is():
    week = Wanted("EURUSD", "M1", ns("2024-01-05"), ns("2024-01-08"), "x")
    always = Wanted("BTCUSD", "M1", ns("2024-01-05"), ns("2024-01-08"), "x")

    hours = list(trading_hours(week))

    assert len(list(trading_hours(always))) == 72
    assert ns("2024-01-05 21:00") in hours
    assert ns("2024-01-06 12:00") not in hours
    assert ns("2024-01-07 21:00") in hours


def test_a_period_that_ends_before_it_begins_is_refused():
    with pytest.raises(UsageError, match="before it begins"):
        Wanted("EURUSD", "M1", DAY, DAY, "x")


class Exchange:
    """A venue as ccxt shows it: pages of at most 300 rows; fails once when told to."""

    def __init__(self, rows, fail_at=None):
        self.rows, self.fail_at, self.calls = rows, fail_at, []

    def fetch_ohlcv(self, symbol, timeframe, since, limit):
        self.calls.append((symbol, timeframe, since))
        if len(self.calls) == self.fail_at:
            raise ConnectionError("gone")
        return [row for row in self.rows if row[0] >= since][: min(limit, 300)]


def test_ccxt_pages_are_joined_and_resumed(tmp_path):
    opens = np.arange(ns("2024-01-01"), ns("2024-02-10"), HOUR)
    bars = bars_at(opens, price=40_000.0, tick=0.1)
    rows = [[int(b.open_ns // 10**6), b.open, b.high, b.low, b.close, b.volume] for b in bars]
    wanted = Wanted("BTC/USDT", "H1", ns("2024-01-01"), ns("2024-02-01"), "kraken")
    broken = Exchange(rows, fail_at=3)
    with pytest.raises(ConnectionError):
        download_ccxt(wanted, broken, tmp_path)
    whole = Exchange(rows)

    series = download_ccxt(wanted, whole, tmp_path)

    assert whole.calls[0] == ("BTC/USDT", "1h", int(opens[600] // 10**6))
    assert (series.symbol, series.price_side, series.bars.size) == ("BTCUSDT", "trade", 31 * 24)


class Terminal:
    """The MetaTrader5 package's functions over bars on a server clock."""

    TIMEFRAME_M15 = 15

    def __init__(self, bars, clock):
        wall = utc_to_wall(np.asarray(bars.open_ns), clock) // 10**9
        names = "time,open,high,low,close,tick_volume,spread,real_volume"
        self.rates = np.rec.fromarrays(
            [wall, bars.open, bars.high, bars.low, bars.close, bars.volume, np.round(bars.spread * 1e5), wall * 0],
            names=names,
        )

    def symbol_info(self, symbol):
        return SimpleNamespace(point=1e-5) if symbol == "EURUSD" else None

    def copy_rates_range(self, _symbol, _timeframe, date_from, date_to):
        inside = (self.rates.time >= date_from.timestamp()) & (self.rates.time <= date_to.timestamp())
        return self.rates[inside]


def test_a_terminals_server_time_becomes_utc():
    clock = SourceClock("Europe/Athens")
    wanted = Wanted("EURUSD", "M15", WANTED.from_ns, WANTED.to_ns, "mt5")

    series = download_mt5(wanted, Terminal(BARS, clock), clock)

    assert np.array_equal(series.bars.open_ns, expected().open_ns)
    assert np.allclose(series.bars.spread, expected().spread, atol=1e-12)
    with pytest.raises(DataError, match="Market Watch"):
        download_mt5(Wanted("EURUSX", "M15", 0, MINUTE, "mt5"), Terminal(BARS, clock), clock)


@pytest.mark.parametrize(
    ("need", "package"), [(mt5_terminal, "MetaTrader5"), (lambda: ccxt_exchange("kraken"), "ccxt")]
)
def test_a_package_that_is_not_installed_is_named(need, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)

    with pytest.raises(DataError, match=f"package {package} is not installed"):
        need()

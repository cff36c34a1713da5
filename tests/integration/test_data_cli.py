"""The data commands as a user runs them: tables and JSON on stdout, remarks on stderr, clear refusals."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import bars_at, fx_opens
from tradesentry.backtest.commands.data import app
from tradesentry.core.domain.errors import ClockError, DataError, ImportRefused, UsageError
from tradesentry.core.market.catalog import Catalog, load_bars

BARS = bars_at(fx_opens("2024-02-26", "2024-03-20", "M15"), "M15")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADESENTRY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRADESENTRY_CATALOG", str(tmp_path / "catalog"))

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


@pytest.fixture
def mt5_file(tmp_path):
    return vendor.put(tmp_path, "EURUSD_M15.csv", vendor.mt5(BARS, "Europe/Athens"))


def test_import_detects_the_clock_says_why_and_stores_the_bars(run, mt5_file):
    result = run("import", mt5_file, "--source", "broker", "--detect-clock")

    assert "format mt5" in result.stderr
    assert "clock Europe/Athens detected" in result.stderr
    header, row = result.stdout.strip().split("\n")
    assert header.startswith("source\tsymbol\ttimeframe\trows")
    assert row.startswith(f"broker\tEURUSD\tM15\t{BARS.size}\t2024-02-26 00:00")


def test_json_is_one_document_on_stdout(run, mt5_file):
    result = run("import", mt5_file, "--source", "broker", "--clock", "Europe/Athens", "--json")

    assert json.loads(result.stdout)[0]["rows"] == BARS.size


def test_a_refusal_is_raised_with_its_exit_code_and_stores_nothing(run, tmp_path):
    bars = BARS.copy()
    bars["high"][7] = 0.5
    path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(bars.view(type(BARS)), "UTC"))

    with pytest.raises(ImportRefused, match="line 9") as refusal:
        run("import", path)

    assert refusal.value.exit_code == 3
    assert not (tmp_path / "catalog").exists()


def test_a_series_is_not_replaced_by_accident(run, mt5_file):
    run("import", mt5_file, "--clock", "Europe/Athens")

    with pytest.raises(UsageError, match="--replace"):
        run("import", mt5_file, "--clock", "Europe/Athens")

    run("import", mt5_file, "--clock", "Europe/Athens", "--replace")


def test_a_missing_clock_and_a_wrong_one_are_refused(run, mt5_file):
    with pytest.raises(ClockError, match="--detect-clock"):
        run("import", mt5_file)
    with pytest.raises(ClockError, match="disproved"):
        run("import", mt5_file, "--clock", "UTC")


def test_list_check_and_resample_work_on_what_was_imported(run, mt5_file):
    run("import", mt5_file, "--source", "broker", "--clock", "Europe/Athens")

    resampled = run("resample", "EURUSD", "-t", "H4", "--source", "broker")
    listed = json.loads(run("list", "--json").stdout)
    checked = json.loads(run("check", "EURUSD", "-t", "M15", "--source", "broker", "--json").stdout)

    assert "broker\tEURUSD\tH4" in resampled.stdout
    assert [(row["symbol"], row["timeframe"]) for row in listed] == [("EURUSD", "H4"), ("EURUSD", "M15")]
    assert (checked["n_bars"], checked["n_missing"]) == (BARS.size, 0)


def test_check_writes_a_repaired_copy_only_when_asked(run, tmp_path):
    bars = BARS.copy().view(type(BARS))
    bars.open[100:140], bars.close[100:140], bars.high[100:140], bars.low[100:140] = 1.1, 1.1, 1.1, 1.1
    path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(bars, "UTC"))
    run("import", path, "--source", "broker", "--accept-stuck")

    run("check", "EURUSD", "-t", "M15", "--source", "broker")
    before = Catalog(tmp_path / "catalog").entries()
    result = run("check", "EURUSD", "-t", "M15", "--source", "broker", "--repair")

    assert before == (("broker", "EURUSD", "M15"),)
    assert "dropped 40 rows of a stuck feed" in result.stderr
    repaired = load_bars("EURUSD", "M15", "broker_repaired", tmp_path / "catalog")[0]
    assert repaired.bars.size == BARS.size - 40
    assert repaired.provenance["repairs"]


def test_bid_and_ask_files_are_joined(run, tmp_path):
    ask = BARS.copy().view(type(BARS))
    for part in ("open", "high", "low", "close"):
        ask[part] = BARS[part] + 1e-4
    bid_path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(BARS, "UTC"))
    ask_path = vendor.put(tmp_path, "EURUSD_ASK.csv", vendor.jforex(ask, "UTC"))

    run("import", bid_path, "--ask", ask_path, "--source", "duka")

    assert load_bars("EURUSD", "M15", "duka", tmp_path / "catalog")[0].bars.spread.mean() == pytest.approx(1e-4)


def test_an_ask_file_needs_pips_and_its_symbol(run, tmp_path):
    path = vendor.put(tmp_path, "EURUSD_ASK.csv", vendor.jforex(BARS, "UTC"))
    run("import", path, "--source", "duka")

    with pytest.raises(DataError, match="--spread-pips"):
        load_bars("EURUSD", "M15", "duka", tmp_path / "catalog")
    with pytest.raises(UsageError, match="--symbol"):
        run("import", path, "--spread-pips", "1.2", "--replace")
    run("import", path, "--symbol", "EURUSD", "--spread-pips", "1.2", "--source", "duka", "--replace")

    assert load_bars("EURUSD", "M15", "duka", tmp_path / "catalog")[0].bars.spread[0] == pytest.approx(1.2e-4)


def test_ticks_are_stored_with_bars_built_from_them(run, tmp_path):
    at = list(range(0, 3_600_000, 9_000))
    data = vendor.bi5(at, [1.1] * len(at), [1.1001] * len(at))
    path = vendor.put(tmp_path, "EURUSD/2024/00/02/10h_ticks.bi5", data)

    result = run("import", path, "--source", "duka", "--bars", "M1")

    assert "duka\tEURUSD\tTICK\t400" in result.stdout
    assert "duka\tEURUSD\tM1\t60" in result.stdout


def test_synthetic_bars_say_so_everywhere(run):
    made = run("synth", "EURUSD", "--to", "2022-01-10")

    assert "SYNTHETIC" in made.stderr
    assert "SYNTHETIC" in made.stdout
    assert "SYNTHETIC" in run("list").stdout


def test_oanda_without_a_token_says_what_to_set(run, monkeypatch):
    monkeypatch.delenv("OANDA_TOKEN", raising=False)

    with pytest.raises(UsageError, match="OANDA_TOKEN"):
        run("download", "oanda", "EURUSD", "--from", "2024-01-01")


def test_oanda_bars_are_downloaded_and_listed(run, tmp_path):
    day = bars_at(fx_opens("2024-01-02", "2024-01-03", "M15"), "M15")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = vendor.oanda(day, "UTC") if "2024-01-02T00" in self.path else b'{"candles": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        period = ("--from", "2024-01-02", "--to", "2024-01-03", "-t", "M15")
        result = run("download", "oanda", "EURUSD", *period, "--token", "x", "--base-url", address)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert f"oanda\tEURUSD\tM15\t{day.size}" in result.stdout
    assert "OANDA: 100 %" in result.stderr
    assert load_bars("EURUSD", "M15", "oanda", tmp_path / "catalog")[0].bars.close[-1] == day.close[-1]

"""Research on a fresh machine: one command back-tests an app on the built-in market and leaves a report to open."""

import json
import os
import re
import subprocess
import sys

import polars as pl
import pytest

from tradesentry.backtest.result import load_result
from tradesentry.core.strategy.strategy_registry import strategy_names

FILES = {
    "summary.json", "trades.parquet", "equity.parquet", "rejects.parquet", "config.yaml", "data.json", "report.html",
}  # fmt: skip
PERIOD = ("--from", "2022-01-03", "--to", "2022-02-20")


def tradesentry(*line, cwd):
    environment = {key: value for key, value in os.environ.items() if key != "TRADESENTRY_RUNS"}
    command = [sys.executable, "-m", "tradesentry.cli", *line]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture(scope="module", params=strategy_names())
def finished(request, tmp_path_factory):
    """One back-test of each app by the command that the README names: its name, process and run folder."""
    place = tmp_path_factory.mktemp(request.param)
    done = tradesentry("backtest", request.param, *PERIOD, cwd=place)
    assert done.returncode == 0, done.stderr
    return request.param, done, next((place / "runs").glob("[!.]*"))


def test_one_command_back_tests_an_app_and_writes_all_its_results(finished):
    name, done, folder = finished

    assert {path.name for path in folder.iterdir()} >= FILES
    assert "SYNTHETIC" in done.stderr
    assert f"runs/{folder.name}/report.html" in done.stdout
    result = load_result(folder)
    assert result.app == name
    assert result.trades.height > 0
    assert result.equity["balance"][-1] == pytest.approx(result.capital + result.trades["net"].sum(), abs=1e-6)
    assert result.trades.filter(pl.col("stop_at_entry").is_nan()).height == 0


def test_the_report_needs_no_network_and_says_synthetic(finished):
    page = (finished[2] / "report.html").read_text(encoding="utf-8")

    assert re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"'](?:https?:)?//", page) == []
    assert "synthetic" in page.lower()
    assert page.lower().count("<html") == 1


def test_the_same_command_in_another_process_gives_the_same_files(finished, tmp_path):
    name, _, first = finished

    assert tradesentry("backtest", name, *PERIOD, "--no-report", cwd=tmp_path).returncode == 0

    second = next((tmp_path / "runs").glob("[!.]*"))

    for table in ("trades", "equity", "rejects"):
        assert (first / f"{table}.parquet").read_bytes() == (second / f"{table}.parquet").read_bytes()
    assert (first / "data.json").read_bytes() == (second / "data.json").read_bytes()
    assert (first / "config.yaml").read_bytes() == (second / "config.yaml").read_bytes()


def test_real_bars_are_back_tested_from_the_command_line(shared_data, tmp_path):
    symbols = "EURUSD,GBPUSD,AUDUSD,USDCAD,USDJPY,XAUUSD"
    line = (
        "--source",
        "histdata",
        "--catalog",
        str(shared_data),
        "--symbols",
        symbols,
        "--costs",
        "0,1",
        "--json",
        "--no-report",
    )

    done = tradesentry("backtest", "breakout", *line, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["is_synthetic"] is False
    assert sorted(document["symbols"]) == sorted(symbols.split(","))
    assert document["summary"]["n_trades"] > 100
    assert list(document["cost_runs"]) == ["0x", "1x"]
    assert "source histdata" in done.stderr
    assert load_result(tmp_path / document["folder"]).trades.height == document["summary"]["n_trades"]

"""What the README and the docs show is run here as it stands: Python as a program, commands through the command line.

The data they name is made: vendor files and a catalog of generated prices under the names of the examples.
"""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import bars_at, fx_opens
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.core.market.catalog import Catalog
from tradesentry.core.market.synthetic import synthetic_bars

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(tradesentry .*)$", re.MULTILINE)
INLINE = re.compile(r"`(tradesentry [a-z]+ [^`]+)`")
SHORT = ["--from", "2018-01-08", "--to", "2018-03-01"]
PERIOD_COMMANDS = ("backtest", "check", "sweep", "walk-forward")
HEAVY = (
    *("sweep", "walk-forward", "compare", "live", "agent", "broker", "mt5-gateway"),
    *("up", "down", "status", "relay", "drl"),
)
"""Commands whose examples need studies or accounts of their own; their options are read, they are not run."""


def blocks(*languages):
    """(page and line, text) of every block in one of the languages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] in languages:
                line = text[: match.start()].count("\n") + 1
                found.append(pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


def commands():
    """Every command line of the docs, once."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [line for match in BLOCK.finditer(text) if match[1] != "python" for line in COMMAND.findall(match[2])]
        for line in [*shown, *(one for one in INLINE.findall(text) if is_complete(one))]:
            found.setdefault(line.split(" #")[0].strip(), page)
    return [pytest.param(line, id=f"{page.name}: {line}") for line, page in found.items()]


def is_complete(line):
    """Say whether a command in running text is one to type: no placeholder, and something to do."""
    return not re.search(r"\b[A-Z]{2,}\b(?![=,\d])|[|…\[<]", line.replace("EURUSD", "")) and len(line.split()) > 2


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A catalog whose source is named as in the examples."""
    root = tmp_path_factory.mktemp("catalog")
    made = synthetic_bars(["EURUSD", "GBPUSD"], timeframe="M15", start="2018-01-02", end="2018-04-01")
    for series in made.values():
        Catalog(root).write(replace(series, source="histdata"))
    return root


@pytest.fixture
def place(tmp_path, monkeypatch, catalog):
    """A folder to run in, with the files that the examples import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADESENTRY_CATALOG", str(catalog))
    monkeypatch.setenv("TRADESENTRY_RUNS", str(tmp_path / "runs"))
    minutes = bars_at(fx_opens("2018-03-08", "2018-03-13", "M1"), "M1")
    vendor.put(tmp_path, "DAT_ASCII_EURUSD_M1_2018.csv", vendor.histdata(minutes, "America/New_York"))
    return tmp_path


def test_the_docs_have_examples_to_run():
    assert len(blocks("python")) >= 3
    assert len(commands()) >= 12


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_runs_as_it_stands(place, code):
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_docs_runs(place, line, capsys):
    words = shlex.split(line)[1:]
    if words[0] in HEAVY:
        words = [*words, "--help"]
    elif words[0] in PERIOD_COMMANDS:
        words = [*without_period(words), *SHORT]
    if words[:2] == ["data", "import"]:
        words.append("--replace")

    code = run_command(app, words)

    out, err = capsys.readouterr()
    # A check may well fail on a few weeks of generated prices; then it says so.
    assert code == 0 or (code == 1 and words[0] == "check" and "FAILED" in out), err


def without_period(words):
    """The words without the period, which is replaced by a shorter one."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in ("--from", "--to"):
            kept.append(word)
        skip = word in ("--from", "--to")
    return kept

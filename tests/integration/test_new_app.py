"""A strategy that `apps new` wrote: short, found by name, all its checks green; refusals leave nothing behind."""

import sys

import pytest

from tests.unit.core.strategy.plugins import installed
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app

PERIOD = ("--from", "2022-01-03", "--to", "2022-05-01")


@pytest.fixture
def tradesentry(tmp_path, monkeypatch, capsys):
    """A function that runs a command line in this process and returns (exit code, stdout and stderr together)."""
    monkeypatch.setenv("TRADESENTRY_RUNS", str(tmp_path / "runs"))

    def run(*line):
        code = run_command(app, [str(word) for word in line])
        return code, "".join(capsys.readouterr())

    return run


def test_a_new_strategy_passes_every_check_and_back_tests(tmp_path, monkeypatch, tradesentry):
    code, told = tradesentry("apps", "new", "turncoat", "--into", tmp_path)
    assert code == 0, told
    text = (tmp_path / "turncoat" / "turncoat" / "strategy.py").read_text()
    monkeypatch.syspath_prepend(tmp_path / "turncoat")

    with installed(tmp_path / "site", {"turncoat": "turncoat:APP"}):
        checked = tradesentry("check", "turncoat", *PERIOD)
        played = tradesentry("backtest", "turncoat", *PERIOD, "--no-report")
        shown = tradesentry("apps", "show", "turncoat")
    for name in [name for name in sys.modules if name.partition(".")[0] == "turncoat"]:
        monkeypatch.delitem(sys.modules, name)

    assert len(text.splitlines()) < 150
    assert checked[0] == 0, checked[1]
    assert played[0] == 0, played[1]
    assert "slow_bars" in shown[1]


@pytest.mark.parametrize("name", ["Turncoat", "x", "class", "a b", "../up", "9lives"])
def test_a_name_that_python_cannot_import_is_refused(tmp_path, tradesentry, name):
    code, told = tradesentry("apps", "new", name, "--into", tmp_path)

    assert code == 2
    assert "lower-case letters" in told
    assert not any(tmp_path.iterdir())


def test_a_taken_name_and_an_existing_folder_are_refused(tmp_path, tradesentry):
    (tmp_path / "mine").mkdir()

    taken = tradesentry("apps", "new", "breakout", "--into", tmp_path)
    existing = tradesentry("apps", "new", "mine", "--into", tmp_path)
    nowhere = tradesentry("apps", "new", "yours", "--into", tmp_path / "nowhere")

    assert (taken[0], existing[0], nowhere[0]) == (2, 2, 2)
    assert "already" in taken[1]
    assert "exists already" in existing[1]
    assert "no folder" in nowhere[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]

"""Servers for the tests of live trading, one of each kind for them all: an installation's, and one that syncs."""

import pytest

from tests.support.live_cli import SECRETS
from tests.support.postgres import asked_major, cloned, home_folder, memory_folder, provisioned
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.database.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def home():
    """An installation whose server runs."""
    with home_folder(memory_folder()) as folder, EmbeddedPostgres(folder) as server:
        yield folder, server


@pytest.fixture
def tradesentry(home, monkeypatch, capsys, tmp_path):
    """A function that runs a command line in this process and returns (exit code, stdout, stderr)."""
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRADESENTRY_HOME", str(home[0]))
    monkeypatch.chdir(tmp_path)

    def run(*line):
        code = run_command(app, [str(word) for word in line])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="session")
def synced():
    """A server that keeps what it confirms, as money needs it."""
    with home_folder(memory_folder()) as home, EmbeddedPostgres(home, major=asked_major()) as server:
        provisioned(server)
        yield server


@pytest.fixture
def safe_database(synced):
    """A migrated database of this test alone on it."""
    return cloned(synced)

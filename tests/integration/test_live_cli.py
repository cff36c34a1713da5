"""`tradesentry live` as a user meets it: replays that equal the back-test, kills, second instances, stops, mistakes.

Real processes, a real PostgreSQL, and a fake OANDA behind real HTTP.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tests.support.markets import utc
from tests.support.postgres import DatabaseForTest, home_folder, memory_folder
from tests.support.venues import entry, new_venue, quote_at
from tradesentry.backtest import runner
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.orders import OrderType
from tradesentry.database.accounts import Accounts
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import APP, DATABASE

MARKET = ("--symbols", "EURUSD", "--timeframe", "H1", "--set", "or_minutes=60", "--limits", "off")
PERIOD = ("--from", "2022-01-03", "--to", "2022-02-14")
REPLAY = ("live", "breakout", *MARKET, *PERIOD, "--replay", "synthetic", "--json")
SECRETS = ("OANDA_TOKEN", "OANDA_ACCOUNT", "OANDA_ENVIRONMENT", "OANDA_URL", "MT5_LOGIN", "DATABASE_URL", "NOTIFY_URLS")


@pytest.fixture(scope="module")
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


def process(home, *line):
    """Start the command line as a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    environment |= {"TRADESENTRY_HOME": str(home[0])}
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from tradesentry.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=home[0],
    )  # fmt: skip


def summary_of(text):
    return json.loads(text.strip().splitlines()[-1])["summary"]


@pytest.fixture(scope="module")
def wanted():
    """What the back-test makes of the same bars."""
    result = runner.backtest(
        "breakout", config={"symbols": ["EURUSD"], "timeframe": "H1", "or_minutes": 60}, from_="2022-01-03",
        to="2022-02-14", limits="off",
    )  # fmt: skip
    trades = result.trades
    return {
        "trades": trades.height,
        "net": float(trades["net"].sum()),
        "total_r": float(trades["r_multiple"].sum()),
        "equity": float(result.equity["equity"][-1]),
    }


def test_a_replay_equals_the_back_test_and_leaves_a_clean_desk(tradesentry, home, wanted):
    """Seen to fail: with bars shown to the venue after the decision instead of before it nothing was traded."""
    code, out, err = tradesentry(*REPLAY, "--account", "whole")

    assert code == 0, err
    found = summary_of(out)
    assert wanted["trades"] > 5
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=1e-6)
    rows = DatabaseForTest(home[1], DATABASE).rows(
        "SELECT l.owner, r.desired, r.actual FROM account_leases l JOIN broker_links b ON b.id = l.account_id"
        " JOIN live_runs r ON r.account_id = l.account_id WHERE b.account_ref = 'whole'"
    )
    assert rows == [(None, "stopped", "stopped")]


def test_a_killed_replay_goes_on_where_it_was_and_no_order_is_lost_or_doubled(tradesentry, home, wanted):
    """SIGKILL after a quarter, a half and three quarters; what was decided and sent before counts once."""
    database = DatabaseForTest(home[1], DATABASE)
    for day in ("2022-01-14", "2022-01-24", "2022-02-03"):
        child = process(home, *REPLAY, "--account", "killed")
        try:
            wait_for_bar(database, "killed", utc(day), child)
        finally:
            child.kill()
            child.communicate()

    code, out, err = tradesentry(*REPLAY, "--account", "killed")

    assert code == 0, err
    intents = database.rows(
        "SELECT o.status, count(*) FROM orders o JOIN broker_links b ON b.id = o.account_id"
        " WHERE b.account_ref = 'killed' GROUP BY 1"
    )
    accepted = database.rows(
        "SELECT payload->>'client_order_id', count(*) FROM paper_transactions p JOIN broker_links b"
        " ON b.id = p.account_id WHERE b.account_ref = 'killed' AND kind = 'order_accepted'"
        " AND payload->>'client_order_id' IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    )
    epochs = database.rows(
        "SELECT l.epoch FROM account_leases l JOIN broker_links b ON b.id = l.account_id WHERE b.account_ref = 'killed'"
    )
    assert accepted == []
    assert epochs == [(4,)]
    if "not_placed" not in {status for status, _ in intents}:
        # A kill between an intent and its first byte gives up that entry (J3); then the results may differ.
        found = summary_of(out)
        assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=1e-6)


def wait_for_bar(database, account, bar_ns, child):
    """Return once a process has saved what it remembers of a bar; fail when it ends before."""
    newest = (
        "SELECT coalesce(max(s.bar_close_ns), 0) FROM run_states s JOIN live_runs r ON r.id = s.run_id"
        " JOIN broker_links b ON b.id = r.account_id WHERE b.account_ref = %s"
    )
    for _ in range(2_400):
        if database.rows(newest, account)[0][0] >= bar_ns:
            return
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.025)
    raise AssertionError(f"no bar of {bar_ns} within a minute")


def test_a_second_instance_says_who_trades_and_starts_nothing(tradesentry, home):
    child = process(home, *REPLAY, "--account", "busy", "--speed", "3600")
    assert child.stdout.readline(), child.stderr.read()

    code, out, err = tradesentry(*REPLAY, "--account", "busy")
    listed = tradesentry("live", "status", "--account", "busy", "--json")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)

    assert code == 4
    assert f"Process {child.pid} of this machine does the same already" in err
    assert out == ""
    (row,) = json.loads(listed[1])
    assert row["owner"].split(":")[1].startswith("live-")
    assert (row["state"], row["runs"][0]["actual"]) == ("active", "running")
    assert child.returncode == 130, said
    assert "stopping: no new decisions, entries are taken back, stops stay at the venue" in said
    assert "Traceback" not in said
    after = json.loads(tradesentry("live", "status", "--account", "busy", "--json")[1])[0]
    assert (after["owner"], after["runs"][0]["desired"], after["runs"][0]["actual"]) == ("nobody", "stopped", "stopped")


def test_a_run_is_paused_resumed_and_stopped_from_another_terminal(tradesentry, home):
    child = process(home, *REPLAY, "--account", "commanded", "--speed", "3600")
    assert child.stdout.readline(), child.stderr.read()

    def actual(wanted_state):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            runs = json.loads(tradesentry("live", "status", "--account", "commanded", "--json")[1])[0]["runs"]
            if runs and runs[0]["actual"] == wanted_state:
                return True
            time.sleep(0.2)
        return False

    paused = tradesentry("live", "pause", "breakout", "--account", "commanded")
    was_paused = actual("paused")
    resumed = tradesentry("live", "resume", "breakout", "--account", "commanded")
    was_resumed = actual("running")
    refused = tradesentry("live", "flatten", "breakout", "--account", "commanded")
    stopped = tradesentry("live", "stop", "breakout", "--account", "commanded")
    _, err = child.communicate(timeout=60)

    assert [paused[0], resumed[0], stopped[0]] == [0, 0, 0]
    assert was_paused
    assert was_resumed
    assert refused[0] == 2
    assert "This would close every trade of paper account commanded at paper" in refused[2]
    assert child.returncode == 0, err
    again = tradesentry("live", "pause", "breakout", "--account", "commanded")
    assert again[0] == 2
    assert "No run 'breakout' is wanted." in again[2]


@contextmanager
def fake_oanda(**options):
    """A fake OANDA in a thread of its own; yields its address."""
    loop = asyncio.new_event_loop()
    ready, made = threading.Event(), {}

    async def serve():
        made["server"] = FakeOanda(new_venue(**options), SystemClock())
        await made["server"].start()
        made["stop"] = asyncio.Event()
        ready.set()
        await made["stop"].wait()
        await made["server"].stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield made["server"]
    finally:
        loop.call_soon_threadsafe(made["stop"].set)
        thread.join(20)
        loop.close()


ACCOUNT = "001-001-1234567-001"


@pytest.mark.parametrize(
    ("secrets", "more", "code", "message"),
    [
        ({}, (), 2, "OANDA_ACCOUNT is not set, so it is not known which account is meant."),
        ({"OANDA_ACCOUNT": ACCOUNT}, (), 2, "OANDA_TOKEN is not set, so OANDA cannot be reached."),
        ({"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "wrong"}, (), 4, "Check the token, its account and whether"),
        ({"OANDA_ACCOUNT": "001-001-7654321-009", "OANDA_TOKEN": "token"}, (), 4, "OANDA answered /v3/accounts/…"),
        (
            {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token", "OANDA_ENVIRONMENT": "live"}, (), 2,
            f"oanda account {ACCOUNT} holds real money and nothing was confirmed. Nothing was started.",
        ),
        (
            {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token", "OANDA_ENVIRONMENT": "live"}, ("--confirm", "other"), 2,
            f"add --confirm {ACCOUNT}",
        ),
        (
            {"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token"}, ("--account", "001-001-0000000-777"), 2,
            "the linked account is …777",
        ),
        ({"OANDA_ACCOUNT": ACCOUNT, "OANDA_TOKEN": "token"}, ("--replay", "synthetic"), 2, "need --broker paper"),
    ],
    ids=[
        "no account", "no token", "wrong token", "wrong account", "real money", "wrong confirm", "other account",
        "replay",
    ],
)  # fmt: skip
def test_a_venue_is_reached_only_with_what_it_needs(tradesentry, monkeypatch, secrets, more, code, message):
    with fake_oanda() as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)

        got, out, err = tradesentry("live", "breakout", "--symbols", "EURUSD", "--broker", "oanda", *more)

        assert got == code, err
        assert message in err
        assert err.count("Error:") == 1
        assert "Traceback" not in err
        assert out == ""
        assert server.n_commands == 0


def test_an_account_linked_as_a_demo_is_never_traded_as_a_real_one(tradesentry, monkeypatch, home):
    monkeypatch.setenv("OANDA_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("OANDA_TOKEN", "token")
    with fake_oanda() as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        settings = {"currency": "USD", "environment": "practice", "symbols": ["EURUSD"]}
        tradesentry("db", "init")
        Accounts(home[1].url(APP, DATABASE)).link(
            broker="oanda", account_ref=ACCOUNT, environment="demo", settings=settings
        )
        monkeypatch.setenv("OANDA_ENVIRONMENT", "live")

        code, _, err = tradesentry(
            "live", "breakout", "--symbols", "EURUSD", "--broker", "oanda", "--confirm", ACCOUNT
        )  # fmt: skip

        assert code == 2
        assert "Account …001 at oanda is linked as demo and was now given as real" in err
        assert server.n_commands == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("live", "brekout"), "There is no strategy 'brekout'. Did you mean 'breakout'?"),
        (("live", "breakout", "--broker", "onda"), "There is no broker 'onda'. Did you mean 'oanda'?"),
        (("live", "breakout", "--set", "or_minuts=15"), "'or_minuts' is not a setting. Did you mean 'or_minutes'?"),
        (("live", "breakout", "--broker", "mt5"), "MT5_LOGIN is not set"),
        (("live", "pause", "nothing"), "No run 'nothing' is wanted."),
        (("live", "status", "--account", "nobody"), "No account 'nobody' is linked."),
        (("agent", "--brokers", "paper,onda"), "--brokers 'paper,onda': choose of paper, oanda, mt5."),
        (("broker", "flatten", "--confirm", "x"), "OANDA_ACCOUNT is not set"),
        (("broker", "record", "oanda"), "Recordings are made of demo accounts only"),
    ],
)
def test_a_mistake_ends_with_exit_code_2_and_says_what_to_do(tradesentry, line, message):
    code, out, err = tradesentry(*line)

    assert code == 2, err
    assert message in err
    assert "Traceback" not in err
    assert out == ""


def test_break_glass_closes_everything_twice_without_harm(tradesentry, monkeypatch):
    """Entries first, so that none opens what is closed after it; the second call finds nothing."""
    monkeypatch.setenv("OANDA_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("OANDA_TOKEN", "token")
    with fake_oanda(symbols=("EURUSD",)) as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        server.venue.on_quote(quote_at(1.1))
        server.venue.place(entry(1))
        server.venue.place(entry(2, kind=OrderType.LIMIT, price=1.05, stop=1.04))

        wrong = tradesentry("broker", "flatten", "--confirm", "other")
        first = tradesentry("broker", "flatten", "--confirm", ACCOUNT, "--without-database")
        second = tradesentry("broker", "flatten", "--confirm", ACCOUNT, "--without-database")

        assert wrong[0] == 2
        assert [first[0], second[0]] == [0, 0], first[2] + second[2]
        assert [line.split("\t")[0] for line in first[1].splitlines()] == ["command", "cancel", "close"]
        assert second[1] == ""
        assert "nothing was open" in second[2]
        assert server.venue.open_trades() == []
        assert server.venue.resting() == []


def test_a_recording_holds_every_read_and_no_account_number(tradesentry, monkeypatch, tmp_path):
    monkeypatch.setenv("OANDA_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("OANDA_TOKEN", "token")
    with fake_oanda(symbols=("EURUSD",)) as server:
        monkeypatch.setenv("OANDA_URL", server.url)
        server.venue.on_quote(quote_at(1.1))

        code, _, err = tradesentry("broker", "record", "oanda", "--demo", "--out", tmp_path / "r.jsonl")

        text = (tmp_path / "r.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert code == 0, err
        assert [line["call"] for line in lines][:4] == ["connect", "server_clock", "instruments", "get_balance"]
        assert ACCOUNT not in text
        assert "token" not in text
        assert all(("result" in line) != ("error" in line) for line in lines)
        assert server.n_commands == 0


def linked_run(home, name, *, speed):
    """Want a run to be live on a paper account of its own, as the API does; return (accounts, account id)."""
    accounts = Accounts(home[1].url(APP, DATABASE))
    settings = {
        "symbols": ["EURUSD"], "timeframe": "H1", "prices": "synthetic", "from_": "2022-01-03", "to": "2022-12-01",
        "speed": speed, "limits": "off",
    }  # fmt: skip
    account_id = accounts.link(broker="paper", account_ref=name, environment="paper", settings=settings)
    config = {"symbols": ["EURUSD"], "timeframe": "H1", "or_minutes": 60}
    accounts.launch(account_id, strategy="breakout", variant="main", config=config, code_digest="d")
    return accounts, account_id


def eventually(is_true, *, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def test_a_supervised_agent_trades_what_is_wanted_and_goes_on_after_a_kill(tradesentry, home):
    """SIGKILL of the agent: the supervisor starts it again, it reclaims its account at once and the bars go on."""
    tradesentry("db", "init")
    accounts, account_id = linked_run(home, "background", speed=36_000.0)
    database = DatabaseForTest(home[1], DATABASE)

    def bars():
        rows = database.rows("SELECT bar_close_ns FROM run_states WHERE account_id = %s", account_id)
        return rows[0][0] if rows else 0

    def epoch():
        return next(row.epoch for row in accounts.all() if row.account_id == account_id)

    child = process(home, "agent", "--supervise", "1", "--slot", "7", "--brokers", "paper")
    try:
        eventually(lambda: bars() > 0)
        before, first = bars(), epoch()
        pid = int((home[0] / "run" / "slot-agent-7.lock").read_text())
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: epoch() == first + 1, seconds=30)
        eventually(lambda: bars() > before)
        listed = tradesentry("agent", "list")
        assert accounts.runs(account_id)[0].actual == "running"
        accounts.command(account_id, "stopped")
        eventually(lambda: accounts.runs(account_id)[0].actual == "stopped")
        eventually(lambda: not next(row.is_leased for row in accounts.all() if row.account_id == account_id))
    finally:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)

    assert child.returncode == 0, err
    assert listed[0] == 0
    assert ":7\tpaper\t1\t50\t" in listed[1]
    assert "Traceback" not in (home[0] / "logs" / "agent-7.log").read_text()
    assert database.rows("SELECT count(*) FROM agents WHERE slot = 7") == [(0,)]

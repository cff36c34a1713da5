"""`tradesentry up`, `status` and `down` as a user meets them: real processes, real signals, a real PostgreSQL."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import redirect_stderr

import psutil
import pytest

from tests.support.installations import Installed, processes_of, until
from tests.support.postgres import home_folder, memory_folder
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import ADMIN, provision
from tradesentry.workers.entry import main as entry

BARS = "SELECT coalesce(max(bar_close_ns), 0) FROM run_states"
EPOCH = "SELECT epoch FROM account_leases"


@pytest.fixture(scope="module")
def demo():
    """An installation with its demonstration, for the tests of this module that leave it as it is."""
    with home_folder() as home, Installed(home) as up:
        yield up


def test_ready_means_that_the_demonstration_is_leased_active_and_has_decided_a_bar(demo):
    code, status = demo.status()

    assert [process["name"] for process in demo.ready["processes"]] == ["postgres", "relay", "agent-0"]
    assert all(process["pid"] for process in demo.ready["processes"])
    assert (demo.ready["demo"]["data"], demo.ready["demo"]["bars_per_minute"]) == ("SYNTHETIC", 60)
    assert demo.rows(BARS)[0][0] > 0
    assert (code, status["problems"]) == (0, [])
    (account,) = status["accounts"]
    assert (account["account"], account["state"], account["runs"]) == ("paper:demo", "active", "breakout:main running")
    assert account["owner"].endswith(":0")
    assert 0 <= account["lease_age_seconds"] < 10


def test_a_person_is_shown_processes_accounts_and_alerts(demo):
    code, out, err = demo.run("status")

    assert code == 0, err
    assert out.startswith("process\tpid\tuptime\trestarts\thealth\nsupervisor\t")
    assert "\npaper:demo\t" in out
    assert "alerts that nobody has got: " in out


def test_a_second_up_says_who_runs_and_starts_nothing(demo):
    before = demo.pids()

    code, out, err = demo.run("up", "--home", str(demo.home))

    assert (code, out) == (2, "")
    assert f"TradeSentry runs in {demo.home} already (process {demo.process.pid}), so nothing was started." in err
    assert "stop it with `tradesentry down`" in err
    assert demo.pids() == before


def test_secrets_are_for_their_owner_alone(demo):
    folder, file = demo.home / "secrets", demo.home / "secrets" / "postgres.json"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_killed_postgres_comes_back_on_its_port_and_restarts_nobody(demo):
    before, bar_ns = demo.pids(), demo.rows(BARS)[0][0]
    port = (demo.home / "pg" / "port").read_text()

    os.kill(before["postgres"], signal.SIGKILL)
    until(lambda: demo.pids()["postgres"] not in (None, before["postgres"]))
    until(lambda: demo.rows(BARS)[0][0] > bar_ns)

    after = demo.pids()
    assert (after["relay"], after["agent-0"]) == (before["relay"], before["agent-0"])
    assert (demo.home / "pg" / "port").read_text() == port
    until(lambda: demo.status()[0] == 0)
    restarts = {row["process"]: row["restarts"] for row in demo.status()[1]["processes"]}
    assert (restarts["postgres"], restarts["relay"], restarts["agent-0"]) == (1, 0, 0)


def test_a_killed_relay_is_reported_and_started_again(demo):
    before = demo.pids()["relay"]

    os.kill(before, signal.SIGKILL)
    until(lambda: demo.pids()["relay"] not in (None, before))
    until(lambda: demo.status()[0] == 0)

    assert next(row for row in demo.status()[1]["processes"] if row["process"] == "relay")["restarts"] == 1


def test_ctrl_c_gives_accounts_back_and_leaves_no_process_and_the_next_up_goes_on():
    """Also the background start: `--detach` returns once it is ready, `down --force` leaves nothing either."""
    with home_folder() as home, Installed(home) as up:
        secret = (home / "secrets" / "postgres.json").read_bytes()
        first = up.rows(EPOCH)[0]
        bar_ns = up.rows(BARS)[0][0]
        code, said = up.interrupt()
        left = processes_of(home)
        down = up.run("down")
        nothing = up.run("status")

        detached, out, err = up.run_process("up", "--detach", "--json")
        second, bars = up.rows(EPOCH)[0], up.rows(BARS)[0][0]
        forced = up.run("down", "--force")
        until(lambda: not processes_of(home), seconds=30)

        assert code == 0, said
        assert "stopping: agents give their accounts back, stops stay at the venues" in said
        assert said.endswith("stopped\n")
        assert left == []
        assert down[0] == 0
        assert f"nothing runs in {home}" in down[2]
        assert nothing[0] == 1
        assert "Start it with `tradesentry up`" in nothing[2]
        assert (home / "secrets" / "postgres.json").read_bytes() == secret
        assert detached == 0, err
        assert json.loads(out)["demo"]["is_running"]
        assert second > first
        assert bars > bar_ns
        assert forced[0] == 0, forced[2]


def test_everything_ends_with_a_killed_supervisor_and_the_next_up_is_ready():
    with home_folder() as home, Installed(home, "--no-demo") as up:
        first = dict(up.pids())
        up.process.kill()
        up.process.communicate()
        until(lambda: not processes_of(home), seconds=30)
        up.start()
        second = up.pids()

        assert not any(psutil.pid_exists(pid) and pid in second.values() for pid in first.values())
        assert up.ready["demo"] is None
        assert up.rows("SELECT count(*) FROM broker_links") == [(0,)]
        assert up.status()[0] == 0


def test_up_works_on_a_database_of_somebody_else_with_two_agents():
    with home_folder(memory_folder()) as place, EmbeddedPostgres(place, is_durable=False) as server:
        provision(server.url(ADMIN, "postgres"), server.passwords, database="elsewhere")
        url = server.url(ADMIN, "elsewhere")
        with home_folder() as folder:
            options = ("--agents", "2", "--no-demo")
            with Installed(folder, *options, environment={"DATABASE_URL": url}) as up:
                code, status = up.status()
                ended, said = up.interrupt()

            assert [process["name"] for process in up.ready["processes"]] == ["relay", "agent-0", "agent-1"]
            assert up.ready["database"] == "DATABASE_URL"
            assert (code, status["problems"]) == (0, [])
            assert ended == 0, said
            assert not (folder / "pg" / "data").exists()
            assert server.is_running


def test_a_process_that_does_not_exist_is_refused_by_name():
    with redirect_stderr(io.StringIO()) as err:
        code = entry(["agnet"])

    assert code == 2
    assert "There is no process 'agnet'. Did you mean 'agent'?" in err.getvalue()


def test_up_and_down_explain_themselves(capsys):
    for command in ("up", "down", "status", "relay"):
        assert run_command(app, [command, "--help"]) == 0
    shown = subprocess.run(
        [sys.executable, "-m", "tradesentry.workers.entry", "relay", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Deliver the alerts of this installation until Ctrl-C." in shown.stdout
    assert "--detach" in capsys.readouterr().out

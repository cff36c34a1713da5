"""The gateway as a process: it serves a terminal over loopback, keeps its logs, and refuses what it must not serve."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
TOKEN = "integration-token-0123456789"
# The package exists for Windows only; the fake stands in its place before the command runs.
PROGRAM = """
import sys
from tests.support.terminals import new_terminal
from tradesentry.core.domain.clock import SystemClock
sys.modules["MetaTrader5"] = new_terminal(clock=SystemClock())
from tradesentry.cli import main
sys.argv = ["tradesentry", *sys.argv[1:]]
main()
"""
CONFIG = """\
server_tz: Europe/Athens
port: 0
symbols:
  EURUSD: EURUSD.m
  USDJPY: USDJPY.m
"""


def environment(tmp_path, **changes):
    """Return the environment of a gateway's process."""
    secrets = {
        "MT5_LOGIN": "5012345",
        "MT5_PASSWORD": "password",
        "MT5_SERVER": "Fake-Demo",
        "MT5_GATEWAY_TOKEN": TOKEN,
        "TRADESENTRY_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(REPOSITORY),
    }
    return {**os.environ, **secrets, **changes}


def started(tmp_path, *arguments, config=CONFIG, **changes):
    """Start `tradesentry mt5-gateway` as a process of its own."""
    path = tmp_path / "gateway.yaml"
    path.write_text(config)
    line = [sys.executable, "-c", PROGRAM, "mt5-gateway", "--config", str(path), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, env=environment(tmp_path, **changes), cwd=tmp_path, text=True, **pipes)


def address_of(process):
    """Return where a gateway listens, from what it says first."""
    said = process.stderr.readline()
    assert "Serving account …345 (practice, USD)" in said, said + process.stderr.read()
    return said.split(" on ")[1].strip().rstrip(".")


def test_it_serves_until_it_is_told_to_stop_and_goes_on_with_its_log(tmp_path):
    log_ids = []
    for _ in range(2):
        process = started(tmp_path)
        try:
            url = address_of(process)
            with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
                health = client.get(f"{url}/v1/health").json()
                state = client.get(f"{url}/v1/state").json()
            assert httpx.get(f"{url}/v1/state").status_code == 401
        finally:
            process.terminate()
            process.communicate(timeout=20)
        log_ids.append(health["log_id"])
        assert process.returncode == 0
        assert (health["connected"], health["trade_allowed"]) == (True, True)
        assert state["account"]["balance"] == "100000.0"

    assert log_ids[0] == log_ids[1]
    assert (tmp_path / "home" / "mt5" / "5012345" / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("config", "changes", "code", "text"),
    [
        (CONFIG, {"MT5_LOGIN": "999999"}, 4, "Check MT5_LOGIN"),
        ("server_tz: Europe/Athens\n", {}, 2, "EURUSD: EURUSD.m"),
        ("port: 1\n", {}, 2, "server_tz"),
    ],
    ids=["login", "no symbols", "no clock"],
)
def test_what_it_must_not_serve_it_refuses_with_what_to_do(tmp_path, config, changes, code, text):
    process = started(tmp_path, config=config, **changes)

    _, said = process.communicate(timeout=60)

    assert process.returncode == code, said
    assert text in said
    assert "Traceback" not in said


def test_the_symbols_that_fit_can_be_listed_and_pasted(tmp_path):
    process = started(tmp_path, "--symbols", config="server_tz: Europe/Athens\n")

    shown, said = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert shown == "  EURUSD: EURUSD.m\n  USDJPY: USDJPY.m\n"


def test_a_second_gateway_of_the_same_terminal_is_refused(tmp_path):
    first = started(tmp_path)
    try:
        address_of(first)
        second = started(tmp_path)
        _, said = second.communicate(timeout=60)
    finally:
        first.terminate()
        first.communicate(timeout=20)

    assert second.returncode == 4, said
    assert "in use by another process" in said

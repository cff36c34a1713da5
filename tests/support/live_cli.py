"""`tradesentry live` in tests: its command lines, real processes of it, and a fake OANDA behind real HTTP."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

from tests.support.venues import new_venue
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.domain.clock import SystemClock

MARKET = ("--symbols", "EURUSD", "--timeframe", "H1", "--set", "or_minutes=60", "--limits", "off")
PERIOD = ("--from", "2022-01-03", "--to", "2022-02-14")
REPLAY = ("live", "breakout", *MARKET, *PERIOD, "--replay", "synthetic", "--json")
SECRETS = ("OANDA_TOKEN", "OANDA_ACCOUNT", "OANDA_ENVIRONMENT", "OANDA_URL", "MT5_LOGIN", "DATABASE_URL", "NOTIFY_URLS")
ACCOUNT = "001-001-1234567-001"


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
    """Return the summary at the end of `--json` output."""
    return json.loads(text.strip().splitlines()[-1])["summary"]


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


def eventually(is_true, *, seconds=60):
    """Wait until something is true; fail when it is not in time."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)

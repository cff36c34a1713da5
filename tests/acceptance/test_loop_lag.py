"""A10: one agent with 50 paper accounts keeps its event loop free; real sessions, strategies and PostgreSQL."""

import asyncio
import os

import pytest

from tests.support.live_hosts import say
from tests.support.postgres import database, postgres
from tradesentry.bootstrap import open_stores
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.monitoring.heartbeat import LoopLag
from tradesentry.core.utils.notifier import Notifier
from tradesentry.database.accounts import Accounts
from tradesentry.database.roles import APP
from tradesentry.settings import Settings
from tradesentry.workers.agent import Agent, AgentSettings
from tradesentry.workers.alerting import Alerting
from tradesentry.workers.session import AccountSession, SessionOptions

__all__ = ["database", "postgres"]

N_ACCOUNTS = 50
N_WARM_BARS = 3
MEASURED_SECONDS = 30.0
MOST_SECONDS = 0.050
BAR_SECONDS = 2.0
"""How often each account decides; live it does so once in 15 minutes, all of them at the same second."""


def linked(accounts, number):
    """Link a paper account on synthetic prices and want a run on it."""
    settings = {
        "symbols": ["EURUSD"], "timeframe": "H1", "prices": "synthetic", "from_": "2022-01-03", "to": "2022-01-24",
        "speed": 3_600.0 / BAR_SECONDS, "limits": "off",
    }  # fmt: skip
    account_id = accounts.link(broker="paper", account_ref=f"lag-{number}", environment="paper", settings=settings)
    config = {"symbols": ["EURUSD"], "timeframe": "H1", "or_minutes": 60}
    accounts.launch(account_id, strategy="breakout", variant="main", config=config, code_digest="d")


@pytest.mark.slow
def test_an_agent_with_50_accounts_keeps_its_loop_free(database):
    accounts, sessions, alerts = Accounts(database.url(APP)), [], []
    for number in range(N_ACCOUNTS):
        linked(accounts, number)

    async def work():
        clock, stop = SystemClock(), asyncio.Event()
        tell = Alerting(Notifier([]), lambda code, text: alerts.append((code, text)))
        async with open_stores(database.agent_url(), n_connections=20) as stores:

            async def open_session(claim, fence):
                sessions.append(AccountSession(
                    claim, fence, stores=stores, settings=Settings(_env_file=None), clock=clock, alerts=tell,
                    options=SessionOptions(),
                ))  # fmt: skip
                return sessions[-1]

            agent = Agent(
                stores.journal, stores.roster, open_session, clock, AgentSettings("host", 0), alerts=tell.direct
            )
            running = asyncio.create_task(agent.run(stop))
            while len(sessions) < N_ACCOUNTS or min(session.n_decided for session in sessions) < N_WARM_BARS:
                assert not running.done(), running.exception()
                await asyncio.sleep(0.2)
            lag, before = LoopLag(clock, every_seconds=0.01), sum(session.n_decided for session in sessions)
            measuring = asyncio.create_task(lag.run())
            await asyncio.sleep(MEASURED_SECONDS)
            measuring.cancel()
            n_decided = sum(session.n_decided for session in sessions) - before
            stop.set()
            await running
            return lag, n_decided

    lag, n_decided = asyncio.run(work())

    p50, p99, worst = (1e3 * lag.quantile(share) for share in (0.5, 0.99, 1.0))
    per_second, load = n_decided / MEASURED_SECONDS, os.getloadavg()[0]
    say(f"{N_ACCOUNTS} accounts, {per_second:.0f} decisions/s, {os.cpu_count()} cores, load {load:.1f}")
    say(f"loop lag p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms")
    assert alerts == []
    assert n_decided > 0.8 * N_ACCOUNTS * MEASURED_SECONDS / BAR_SECONDS
    assert p99 <= 1e3 * MOST_SECONDS

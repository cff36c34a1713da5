"""A fake OANDA on loopback with its bars, on a Tuesday of 2024 that a clock moves, and sessions that trade on it."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np

from tests.support.venues import new_venue
from tradesentry.bootstrap import Stores
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.domain.clock import NS_PER_SECOND, FakeClock
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.market.bars import to_ns
from tradesentry.core.market.synthetic import synthetic_bars
from tradesentry.core.utils.notifier import Notifier
from tradesentry.database.accounts import Accounts
from tradesentry.database.roles import APP
from tradesentry.database.session import create_pool
from tradesentry.settings import Settings
from tradesentry.workers.alerting import Alerting
from tradesentry.workers.session import AccountSession, SessionOptions

ACCOUNT = "001-001-1234567-001"
NOON_NS = to_ns("2024-01-09T12:00")
LINKED = {"currency": "USD", "environment": "practice", "symbols": ["EURUSD"], "timeframe": "M15", "limits": "off"}
CONFIG = {"symbols": ["EURUSD"], "timeframe": "M15"}
SILENT = Alerting(Notifier([]), lambda _code, _text: None)


class Site:
    """A fake OANDA with its bars, and everything a session needs."""

    def __init__(self, database, stores, *, settings_of_link=None, strategy="breakout", now_ns=NOON_NS + NS_PER_SECOND):
        self.clock = FakeClock(now_ns)
        self.bars = synthetic_bars(["EURUSD"], timeframe="M15", start="2023-12-01", end="2024-01-12")["EURUSD"].bars
        self.venue = new_venue(symbols=("EURUSD",))
        self.server = FakeOanda(self.venue, self.clock, history=self.history)
        self.database, self.stores = database, stores
        self.accounts = Accounts(database.url(APP))
        self.account_id = self.accounts.link(
            broker="oanda", account_ref=ACCOUNT, environment="demo", settings=settings_of_link or LINKED
        )
        self.run_id = self.launch(strategy)
        self.alerts = []

    def launch(self, strategy):
        """Want a run of the account to be live."""
        return self.accounts.launch(self.account_id, strategy=strategy, variant="main", config=CONFIG, code_digest="d")

    def history(self, symbol, granularity, start_ns, end_ns):
        """Return the bars that are complete now."""
        bars = self.bars
        is_known = (
            (bars["close_ns"] <= self.clock.now_ns()) & (bars["open_ns"] >= start_ns) & (bars["open_ns"] < end_ns)
        )
        return bars[is_known].view(np.recarray)

    def price(self):
        """Show the present price: the close of the newest bar."""
        newest = int(np.searchsorted(self.bars["close_ns"], self.clock.now_ns(), "right")) - 1
        bid, now_ns = float(self.bars["close"][newest]), self.clock.now_ns()
        self.server.show(Quote("EURUSD", bid, round(bid + 0.0001, 5), now_ns, now_ns))

    async def session(self, **options):
        """Claim the account and return a session on it, not yet running."""
        await self.server.start()
        self.price()
        (claim,) = await self.stores.journal.claim("host:0", limit=1, ttl_seconds=3_600.0)
        fence = SelfFence(self.clock.monotonic, ttl_seconds=1e9)
        fence.renewed(fence.ask())
        settings = Settings(
            _env_file=None, oanda_token="token", oanda_account=ACCOUNT, oanda_url=self.server.url
        )  # fmt: skip
        return AccountSession(
            claim, fence, stores=self.stores, settings=settings, clock=self.clock,
            alerts=Alerting(Notifier([]), lambda code, text: self.alerts.append((code, text))),
            options=SessionOptions(**options),
        )  # fmt: skip

    async def until(self, is_true, *, step=0.25, steps=4_000):
        """Move the clock until something is true."""
        for _ in range(steps):
            for _ in range(20):
                if is_true():
                    return
                await asyncio.sleep(0.0005)
            await self.clock.advance(step)
        raise AssertionError("not in time")

    def actual(self):
        """Return what the first run does, as its row says."""
        return self.accounts.runs(self.account_id)[0].actual


@asynccontextmanager
async def site_on(database, **more):
    """Lend a site over a database."""
    pool = await create_pool(database.agent_url(), n_connections=6)
    site = Site(database, Stores.over(pool), **more)
    try:
        yield site
    finally:
        await site.server.stop()
        await pool.close()

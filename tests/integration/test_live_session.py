"""A session on a real venue, behind real HTTP: it recovers, warms up, decides on the venue's bars, obeys, ends cleanly.

OANDA is the fake one on loopback, on a Tuesday of 2024 that a clock moves; the journal is a real PostgreSQL.
"""

import asyncio

import pytest

from tests.support.live_site import ACCOUNT, CONFIG, LINKED, NOON_NS, SILENT, site_on
from tests.support.postgres import database, postgres
from tests.support.venues import entry, new_venue
from tradesentry.bootstrap import Stores, check_clock
from tradesentry.bootstrap.desk import book_limits, loss_limits, orchestrator_of, refuse_unsafe_database
from tradesentry.bootstrap.paper import venue_instrument
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.clock import NS_PER_SECOND, ClockSample, FakeClock, SystemClock
from tradesentry.core.domain.errors import AccountMismatch, ClockSkew, ConfigError, JournalUnavailable
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.execution.setup import limit_profile
from tradesentry.core.market.bars import MINUTE_NS
from tradesentry.core.market.instruments import instrument
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.database.accounts import Accounts
from tradesentry.database.repositories.runs import set_desired
from tradesentry.database.roles import APP
from tradesentry.database.session import create_engine, create_pool, tenant_session, unavailable
from tradesentry.settings import Settings
from tradesentry.workers.session import AccountSession

__all__ = ["database", "postgres"]


def test_a_session_decides_on_the_bars_of_a_venue_obeys_its_owner_and_ends_cleanly(safe_database):
    async def work():
        async with site_on(safe_database) as site:
            session = await site.session()
            task = asyncio.create_task(session.run())
            await site.until(lambda: task.done() or session.status() is not None)
            if task.done():
                task.result()
            began = session.status()
            await site.until(lambda: task.done() or session.n_decided >= 2, step=30.0)
            decided = session.status()
            engine = create_engine(safe_database.url(APP), n_connections=1)
            async with tenant_session(engine, session._lease.user_id) as tenant:
                await set_desired(tenant, site.run_id, "paused")
            await engine.dispose()
            await session.obey()
            paused = (site.actual(), session.status().lanes[0].is_paused)
            stopping = asyncio.create_task(session.stop(keep_entries=False))
            await site.until(stopping.done)
            await stopping
            await asyncio.gather(task, return_exceptions=True)
            return site, began, decided, paused, task.exception()

    site, began, decided, paused, error = asyncio.run(work())

    assert error is None
    assert began.state.value == "active"
    assert began.lanes[0].n_bars > 1_900, "warmed up on bars of the past"
    assert decided.lanes[0].n_bars >= began.lanes[0].n_bars + 2
    assert decided.as_of_ns in (NOON_NS + 30 * MINUTE_NS, NOON_NS + 45 * MINUTE_NS)
    assert paused == ("paused", True)
    saved = site.database.rows("SELECT market, bar_close_ns FROM run_states")
    assert saved == [("EURUSD", decided.as_of_ns)]
    assert site.server.n_commands == 0
    assert site.server.n_streams("events") == 0


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({"currency": "EUR"}, "and the link says (…001, EUR, hedging True)"),
        (
            {"is_hedging": False},
            "The account is (…001, USD, hedging True) and the link says (…001, USD, hedging False)",
        ),
    ],
)
def test_an_account_that_is_not_what_was_linked_is_not_traded(safe_database, link, message):
    async def work():
        async with site_on(safe_database, settings_of_link=LINKED | link) as site:
            session = await site.session()
            task = asyncio.create_task(session.run())
            await site.until(task.done)
            with pytest.raises(AccountMismatch) as caught:
                task.result()
            return str(caught.value), site.server.n_commands

    text, n_commands = asyncio.run(work())

    assert message in text
    assert "The account is (…001, USD, hedging True)" in text
    assert n_commands == 0


class SkewedBroker(PaperBroker):
    """A venue whose clock is off."""

    offset_seconds = 0.0

    async def server_clock(self):
        return ClockSample(round(self.offset_seconds * NS_PER_SECOND), NS_PER_SECOND // 10)


@pytest.mark.parametrize(("offset", "is_refused"), [(5.04, False), (5.2, True), (-61.0, True), (0.3, False)])
def test_a_skewed_clock_is_refused_at_the_start_and_says_what_to_do(offset, is_refused):
    broker = SkewedBroker(new_venue(), FakeClock(0))
    broker.offset_seconds = offset

    if not is_refused:
        assert asyncio.run(check_clock(broker, "oanda")) == pytest.approx(offset)
        return
    with pytest.raises(ClockSkew) as caught:
        asyncio.run(check_clock(broker, "oanda"))
    assert f"The clock of oanda is {offset:+.1f} s from this machine's" in str(caught.value)
    assert "Let the machine's clock be set (NTP)" in str(caught.value)


def test_a_full_disk_of_the_database_means_that_nothing_may_be_sent():
    import asyncpg

    error = unavailable(asyncpg.DiskFullError("could not extend file: No space left on device"))

    assert isinstance(error, JournalUnavailable)
    assert "Nothing may be sent until it is back" in str(error)
    assert "is the disk full?" in str(error)


def test_money_is_not_traded_on_a_database_that_may_forget(database):
    """The server of the tests syncs nothing, so it is one."""

    async def work():
        pool = await create_pool(database.agent_url(), n_connections=2)
        try:
            await refuse_unsafe_database(Stores.over(pool))
        finally:
            await pool.close()

    with pytest.raises(ConfigError, match="fsync off and full_page_writes off: after a crash it may have forgotten"):
        asyncio.run(work())


def test_limits_of_a_profile_become_the_limits_of_the_live_gates():
    default, off = limit_profile("default"), limit_profile("off")

    assert float(book_limits(default).max_open_risk) == default.max_open_risk
    assert float(loss_limits(limit_profile("prop")).drawdown_halt) == 0.05
    assert float(book_limits(off).max_leverage) == 500
    assert float(loss_limits(off).daily_loss) == 1


def test_an_app_with_an_orchestrator_of_its_own_is_run_by_it():
    names = {app: orchestrator_of(strategy(app)).__name__ for app in ("breakout", "smclassic", "smedge", "smgrid")}

    assert names == {
        "breakout": "AsyncOrchestrator", "smclassic": "SMClassicAsyncOrchestrator", "smedge": "AsyncOrchestrator",
        "smgrid": "SMGridAsyncOrchestrator",
    }  # fmt: skip


@pytest.mark.parametrize(("symbol", "digits"), [("EURUSD", 5), ("USDJPY", 3), ("XAUUSD", 2)])
def test_a_paper_venue_trades_on_the_ticks_and_steps_of_the_instrument(symbol, digits):
    item = instrument(symbol)

    traded = venue_instrument(item)

    assert traded.price_digits == digits
    assert float(traded.unit_step) == item.unit_step
    assert (float(traded.min_units), float(traded.max_units)) == (item.unit_min, item.unit_max)


def test_a_run_that_was_stopped_while_nobody_traded_it_is_said_to_be_stopped(database):
    """Its agent died. Seen to fail: the run stayed `running` and its account was wanted for good."""

    async def work():
        pool = await create_pool(database.agent_url(), n_connections=4)
        try:
            stores, accounts = Stores.over(pool), Accounts(database.url(APP))
            settings = {"symbols": ["EURUSD"], "timeframe": "H1", "prices": "synthetic", "to": "2022-02-01"}
            account_id = accounts.link(broker="paper", account_ref="p", environment="paper", settings=settings)
            run_id = accounts.launch(
                account_id, strategy="breakout", variant="main", config=CONFIG | {"timeframe": "H1"}, code_digest="d"
            )
            (claim,) = await stores.journal.claim("host:0", limit=1, ttl_seconds=60.0)
            await stores.runs.set_actual(claim.lease, run_id, "running")
            accounts.command(account_id, "stopped")
            clock = SystemClock()
            fence = SelfFence(clock.monotonic, ttl_seconds=60.0)
            fence.renewed(fence.ask())
            session = AccountSession(
                claim, fence, stores=stores, settings=Settings(_env_file=None), clock=clock, alerts=SILENT
            )
            await session.run()
            await session.stop(keep_entries=False)
            return accounts.runs(account_id)[0].actual, await stores.roster.is_wanted(claim.lease)
        finally:
            await pool.close()

    assert asyncio.run(work()) == ("stopped", False)


def test_a_paper_account_lives_on_the_prices_of_a_venue_and_settles_what_nobody_watched(database):
    """A trade is opened at a quote; while no process lives the price falls through its stop; the next one fills it.

    Seen to fail: without the bars that nobody watched the trade was still open.
    """
    settings = {"symbols": ["EURUSD"], "prices": "oanda", "timeframe": "M15", "limits": "off"}

    async def life(site, claim, act):
        fence = SelfFence(site.clock.monotonic, ttl_seconds=1e9)
        fence.renewed(fence.ask())
        secrets = Settings(_env_file=None, oanda_token="token", oanda_account=ACCOUNT, oanda_url=site.server.url)
        session = AccountSession(claim, fence, stores=site.stores, settings=secrets, clock=site.clock, alerts=SILENT)
        task = asyncio.create_task(session.run())
        await site.until(lambda: task.done() or session.status() is not None)
        if task.done():
            task.result()
        await site.until(lambda: site.server.n_streams("quotes") > 0)
        site.price()
        await site.until(lambda: "EURUSD" in session.account.broker.venue.quotes)
        found = await act(session)
        stopping = asyncio.create_task(session.stop(keep_entries=False))
        await site.until(stopping.done)
        await asyncio.gather(task, return_exceptions=True)
        return found

    async def buy(session):
        venue = session.account.broker.venue
        price = venue.quotes["EURUSD"].bid
        venue.place(entry(1, stop=round(price - 0.0001, 5)))
        await session.account.broker.get_balance()
        return len(venue.open_trades())

    async def look(session):
        venue = session.account.broker.venue
        fills = [row for row in venue.transactions if row["kind"] == "order_filled"]
        return [(row["reason"], row["ts_ns"]) for row in fills], venue.settled_ns("EURUSD")

    async def work():
        async with site_on(database) as site:
            await site.server.start()
            site.price()
            account_id = site.accounts.link(broker="paper", account_ref="p", environment="paper", settings=settings)
            site.accounts.launch(account_id, strategy="breakout", variant="main", config=CONFIG, code_digest="d")
            wanted = {"limit": 1, "ttl_seconds": 3_600.0, "accounts": [account_id]}
            (first,) = await site.stores.journal.claim("host:0", **wanted)
            n_open = await life(site, first, buy)
            await site.stores.journal.release(first.lease)
            await site.clock.advance(6 * 3_600.0)
            (second,) = await site.stores.journal.claim("host:1", **wanted)
            return n_open, *(await life(site, second, look)), site

    n_open, fills, settled_ns, site = asyncio.run(work())

    assert n_open == 1
    assert [reason for reason, _ in fills] == ["MARKET_ORDER", "STOP_LOSS_ORDER"]
    assert fills[1][1] < NOON_NS + 6 * 3_600 * NS_PER_SECOND, "filled on a bar that nobody watched"
    assert settled_ns >= NOON_NS + 6 * 3_600 * NS_PER_SECOND
    assert site.server.n_commands == 0

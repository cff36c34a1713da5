"""A paper account that trades is seen by its monitors: metrics, trades, figures, invariants, and a whole process."""

import asyncio
from decimal import Decimal

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.receivers import Receiver
from tests.support.recovering import Site, play
from tests.support.venues import quote_at
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.live_account import Reduce
from tradesentry.core.execution.journal_rows import LiveState
from tradesentry.core.execution.live_gates import BookLimits
from tradesentry.core.monitoring.alerts import AlertDelivery, MemoryOutbox
from tradesentry.core.monitoring.metrics_collector import MetricsCollector
from tradesentry.core.utils.notifier import DeliveryPolicy, Notifier
from tradesentry.workers.monitors import AccountMonitors, watching


def samples(text):
    """Return {name: {labels without the account: value}}."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(v for k, v in sample.labels.items() if k not in ("account", "app")))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def monitored(site, owner, alerts):
    """Recover an account and put its monitors beside it."""
    await owner.recover()
    collector = MetricsCollector()
    monitors = AccountMonitors(
        owner.orders, owner.recovery, site.journal, owner.claim.lease, owner.fence, site.clock,
        metrics=collector.account(str(site.account_id), app="breakout"), alert=lambda *said: alerts.append(said),
        sources=(owner.broker,),
    )  # fmt: skip
    return monitors, collector


async def see(owner, monitors):
    """Read the account's money and bring the metrics up to date."""
    await owner.settle(owner.orders.catch_up())
    owner.orders.note_account(await owner.broker.get_balance())
    monitors.refresh()


def test_what_an_account_does_is_measured_and_nothing_is_violated():
    """Buys 10,000 at 1.1001, bid goes to 1.1051, closed there: 50 dollars; the risk was 51, from the bid of then 50."""
    alerts = []

    async def case():
        site = Site()
        owner = await site.own()
        monitors, collector = await monitored(site, owner, alerts)
        await owner.buy(10_000, reference_price=1.1000)
        site.show(1.1051)
        monitors.note_quote(quote_at(1.1051))
        await see(owner, monitors)
        during = samples(collector.text())
        (ref,) = owner.book.trades
        await owner.settle(owner.orders.submit([Reduce(ref)], run=None, bar_close_ns=0))
        await see(owner, monitors)
        violations = await monitors.check()
        return during, samples(collector.text()), monitors, violations

    during, after, monitors, violations = play(case())

    assert violations == []
    assert alerts == []
    assert during["ts_orders_total"]["EURUSD", "filled"] == 1.0
    assert during["ts_equity"][()] == pytest.approx(100_050)
    assert during["ts_open_risk_fraction"][()] == pytest.approx(50 / 100_050)
    assert during["ts_currency_exposure_fraction"]["EUR",] == pytest.approx(0.11, abs=0.01)
    assert during["ts_trading_state"]["active",] == 1.0
    assert during["ts_order_ack_seconds_count"][()] == 1.0
    assert during["ts_lease_epoch"][()] == 1.0
    assert during["ts_stream_age_seconds"]["quotes",] == 0.0
    assert during["ts_event_cursor_lag"][()] == 0.0
    assert after["ts_open_risk_fraction"][()] == 0.0
    assert set(after["ts_invariant_violations"].values()) == {0.0}
    figures = monitors.figures()
    assert (figures["n_trades"], figures["win_rate"], round(figures["net"], 2)) == (1.0, 1.0, 50.0)
    (closed,) = monitors.trades.closed
    assert closed.mfe_r == pytest.approx(50 / 51)


def test_a_deposit_is_no_profit_and_no_alarm():
    async def case():
        site = Site()
        owner = await site.own()
        monitors, _ = await monitored(site, owner, [])
        await see(owner, monitors)
        site.venue.transfer(Decimal(5_000))
        await see(owner, monitors)
        return monitors.figures(), await monitors.check()

    figures, violations = play(case())

    assert (figures["net"], figures["drawdown_fraction"], violations) == (0.0, 0.0, [])


def test_denials_are_counted_by_their_code():
    async def case():
        site = Site()
        owner = await site.own()
        monitors, collector = await monitored(site, owner, [])
        await owner.orders.set_state(LiveState.HALTED, "test")
        for _ in range(3):
            await owner.buy(10_000)
        monitors.refresh()
        monitors.refresh()
        return samples(collector.text())["ts_denied_total"], dict(owner.gates.denied)

    counted, denied = play(case())

    assert counted == {(code,): float(n) for code, n in denied.items()}
    assert sum(counted.values()) == 3.0


def test_an_entry_that_breaks_a_limit_breaks_i9_and_prices_alone_do_not():
    """The limit is lowered behind the gates' back, once after an entry and once without one."""
    tight = BookLimits(max_leverage=Decimal("0.05"))

    async def case():
        site = Site()
        owner = await site.own()
        monitors, _ = await monitored(site, owner, [])
        await owner.buy(10_000)
        await see(owner, monitors)
        owner.gates.limits = tight
        return [{found.invariant for found in await monitors.check()} for _ in range(2)]

    assert play(case()) == [{"I9"}, set()]


def test_monitors_that_are_closed_hear_nothing_more():
    async def case():
        site = Site()
        owner = await site.own()
        before = list(owner.orders.listeners)
        monitors, _ = await monitored(site, owner, [])
        monitors.close()
        await owner.buy(10_000)
        return before == owner.orders.listeners, monitors.trades.open

    assert play(case()) == (True, {})


def test_monitors_run_beside_the_trading_and_tell_what_is_wrong():
    """The venue takes a cent away without a word."""
    alerts = []

    async def case():
        site = Site()
        owner = await site.own()
        monitors, _ = await monitored(site, owner, alerts)
        running = asyncio.create_task(monitors.run())
        await see(owner, monitors)
        site.venue.memory.account.balance[0] -= 0.01
        owner.orders.note_account(await owner.broker.get_balance())
        await site.clock.advance(61.0)
        running.cancel()

    play(case())

    assert [code for code, _ in alerts] == ["invariant_i5"]


def test_a_process_shows_its_metrics_beats_and_delivers_its_alerts():
    """Real HTTP three times over: a scraper, an outside watcher, a webhook."""
    watcher, webhook = Receiver(), Receiver()

    async def case():
        clock = FakeClock(0)
        row = {"topic": "alert.halted", "subject": "acc", "payload": {"text": "Why."}, "dedupe_key": "k"}
        outbox = MemoryOutbox([row], clock)
        delivery = AlertDelivery(outbox, Notifier([webhook.url], policy=DeliveryPolicy(n_attempts=1)), clock)
        url = watcher.url.replace("json://", "http://")
        told = []
        async with (
            watching(
                clock,
                lambda *said: told.append(said),
                metrics_port=0,
                heartbeat_url=url,
                name="agent 1",
                delivery=delivery,
            ) as process,
            httpx.AsyncClient() as client,
        ):
            while not watcher.payloads or not webhook.payloads:
                await clock.advance(0.1)
                await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0.005))})
            text = (await client.get(process.url)).text
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(process.url)
        return text, list(outbox.delivered), told

    text, delivered, told = asyncio.run(case())
    watcher.close()
    webhook.close()

    assert "ts_loop_lag_seconds" in text
    assert watcher.payloads[0] == {"from": "agent 1"}
    assert webhook.payloads[0]["title"] == "Halted"
    assert (delivered, told) == ([0], [])

"""What a scraper sees: exactly the metrics of the specification, over real HTTP on loopback."""

import math
import uuid
from decimal import Decimal

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.core.monitoring.live_trades import live_trade, opened, order_moved, reduced
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.live_account import OrderMoved
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.monitoring.equity_track import EquityTrack
from tradesentry.core.monitoring.metrics_collector import MetricsCollector, MetricsServer, summary
from tradesentry.core.monitoring.trade_tracker import TradeTracker

SPECIFIED = {
    "ts_orders_total", "ts_order_unknown", "ts_order_ack_seconds", "ts_fill_slippage_pips", "ts_event_cursor_lag",
    "ts_event_hole_seconds", "ts_stream_age_seconds", "ts_quote_age_seconds", "ts_clock_offset_seconds", "ts_equity",
    "ts_drawdown_fraction", "ts_open_risk_fraction", "ts_currency_exposure_fraction", "ts_trading_state",
    "ts_denied_total", "ts_reconcile_seconds", "ts_journal_commit_seconds", "ts_lease_age_seconds", "ts_lease_epoch",
    "ts_loop_lag_seconds", "ts_alerts_pending",
}  # fmt: skip
INVARIANTS = {"ts_invariant_violations"}
"""Section 9 asks for the invariants as a metric and names none."""
ACCOUNT = str(uuid.UUID(int=7))


def exercised():
    """Return a collector in which every metric has a value."""
    collector = MetricsCollector()
    account = collector.account(ACCOUNT, app="breakout")
    trade = live_trade(entry=1.1002)
    tracker = TradeTracker({"EURUSD": 0.0001}, on_entry=account.observe_entry)
    tracker.on_changes([opened(trade)])
    account.on_changes([order_moved(trade)])
    account.count_denied("stale_quote")
    account.show_orders({"a": order_moved(trade, status=OrderStatus.UNKNOWN).order})
    account.observe_ack(0.012)
    account.observe_reconcile(1.5)
    account.observe_commit(0.004)
    account.set_events(lag=3, hole_seconds=0.5)
    account.set_ages(streams={"events": 1.0, "quotes": 0.2}, quotes={"EURUSD": 0.2})
    account.set_clock_offset(-0.1)
    account.set_equity(EquityTrack(Decimal(900), peak=Decimal(1000)).figures)
    account.set_exposure(open_risk_fraction=0.01, currencies={"EUR": 0.4})
    account.set_state("active")
    account.set_lease(age_seconds=2.0, epoch=5)
    account.set_violations({"I8": 1})
    collector.set_loop_lag(0.003)
    collector.set_alerts_pending(2)
    return collector


def samples(text):
    """Return {name: [(labels, value)]}."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def base(name):
    """Return the metric that a series belongs to."""
    for ending in ("_bucket", "_count", "_sum"):
        name = name.removesuffix(ending)
    return name


def test_there_are_exactly_the_specified_metrics():
    """Seen to fail with the creation times that the client adds by itself."""
    assert {base(name) for name in samples(exercised().text())} == SPECIFIED | INVARIANTS


def test_labels_are_account_instrument_app_and_those_that_the_metric_names():
    allowed = {"account", "instrument", "app", "state", "stream", "currency", "code", "le", "invariant"}

    labels = {name for rows in samples(exercised().text()).values() for row, _ in rows for name in row}

    assert labels == allowed


def test_values_arrive_at_a_scraper_and_not_after_the_server_is_closed():
    with MetricsServer(exercised()) as server:
        answer = httpx.get(server.url)
        found = samples(answer.text)

    assert answer.headers["content-type"].startswith("text/plain")
    assert found["ts_equity"] == [({"account": ACCOUNT}, 900.0)]
    assert found["ts_drawdown_fraction"][0][1] == pytest.approx(0.1)
    assert found["ts_order_unknown"][0][1] == 1.0
    slips = {labels["le"]: value for labels, value in found["ts_fill_slippage_pips_bucket"]}
    assert (slips["1.0"], slips["5.0"]) == (0.0, 1.0)
    assert found["ts_orders_total"] == [
        ({"account": ACCOUNT, "app": "breakout", "instrument": "EURUSD", "state": "accepted"}, 1.0)
    ]
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_a_port_that_is_taken_is_named():
    with MetricsServer(MetricsCollector()) as server:
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])

        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*Choose another port"):
            MetricsServer(MetricsCollector(), port=port)


def test_ages_are_brought_up_to_date_before_each_answer():
    collector = MetricsCollector()
    lags = iter([1.0, 2.0])

    with MetricsServer(collector, refresh=lambda: collector.set_loop_lag(next(lags))) as server:
        seen = [samples(httpx.get(server.url).text)["ts_loop_lag_seconds"][0][1] for _ in range(2)]

    assert seen == [1.0, 2.0]


def test_one_trading_state_is_one_and_all_others_are_zero():
    collector = MetricsCollector()
    account = collector.account(ACCOUNT)

    account.set_state("active")
    account.set_state("halted")

    states = {labels["state"]: value for labels, value in samples(collector.text())["ts_trading_state"]}
    assert states == {"reconciling": 0.0, "active": 0.0, "reducing": 0.0, "halted": 1.0}


def test_an_order_is_counted_once_per_state_it_reaches():
    collector = MetricsCollector()
    account = collector.account(ACCOUNT)
    moved = order_moved(live_trade())

    account.on_changes([moved, OrderMoved(moved.order, OrderStatus.ACCEPTED)])

    assert [value for _, value in samples(collector.text())["ts_orders_total"]] == [1.0]


def test_two_collectors_share_nothing():
    first, second = MetricsCollector(), MetricsCollector()

    first.account(ACCOUNT).count_denied("a")

    assert "ts_denied_total" not in samples(second.text())


def test_a_venues_account_number_is_masked():
    collector = MetricsCollector()

    collector.account("001-004-1234567-001").set_clock_offset(0.0)

    assert "1234567" not in collector.text()


def test_the_first_figures_of_an_account():
    tracker = TradeTracker({"EURUSD": 0.0001})
    empty = summary(tracker.figures(), EquityTrack(Decimal(1000)).figures)
    for number, price in enumerate((1.1060, 1.0980)):
        trade = live_trade(f"t{number}", seq=number + 1)
        tracker.on_changes([opened(trade), reduced(trade, price)])
    track = EquityTrack(Decimal(1000))
    track.mark(Decimal(1060))

    figures = summary(tracker.figures(), track.mark(Decimal(1040)))

    assert math.isnan(empty["win_rate"])
    assert (figures["win_rate"], figures["profit_factor"], figures["net"]) == (0.5, pytest.approx(3.0), 40.0)
    assert figures["drawdown_fraction"] == pytest.approx(20 / 1060)

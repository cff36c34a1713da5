"""Measure what runs live, in the names of the specification, and show it to a scraper.

One collector per process with a registry of its own, so that two of them (tests, several agents in one process) never
share a counter. Labels are account, instrument and app, never an order id: a label value is a time series for ever.
Accounts are shown by the platform's own id, or masked when they are a venue's number.

`AccountMetrics` is what a trader holds: plain verbs, the labels bound once. `MetricsServer` answers on loopback.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.metrics_core import Metric

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.live_account import AccountChange, LiveOrder, OrderMoved
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.monitoring.equity_track import EquityFigures
from tradesentry.core.monitoring.trade_tracker import TrackedTrade, TradeFigures
from tradesentry.core.utils.logger import mask_account

ACCOUNT: Final = ("account",)
STATES: Final = ("reconciling", "active", "reducing", "halted")
"""`ts_trading_state` is 1 for the present one."""
PIPS: Final = (-5.0, -2.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


COUNTERS: Final[Sequence[tuple[str, str, tuple[str, ...]]]] = (
    ("ts_orders", "Orders by the state they reached.", ("account", "instrument", "app", "state")),
    ("ts_denied", "Wishes that a gate denied, by its code.", ("account", "app", "code")),
)
"""The client appends `_total`."""
GAUGES: Final[Sequence[tuple[str, str, tuple[str, ...]]]] = (
    ("ts_order_unknown", "Orders sent whose outcome nobody knows.", ACCOUNT),
    ("ts_event_cursor_lag", "Events of the venue that are not ingested yet.", ACCOUNT),
    ("ts_event_hole_seconds", "Age of the oldest hole in the events; 0 without one.", ACCOUNT),
    ("ts_stream_age_seconds", "Since a stream was last heard.", ("account", "stream")),
    ("ts_quote_age_seconds", "Since an instrument was last quoted.", ("account", "instrument")),
    ("ts_clock_offset_seconds", "The venue's clock less ours.", ACCOUNT),
    ("ts_equity", "Equity, account currency.", ACCOUNT),
    ("ts_drawdown_fraction", "Below the high-water mark, flows removed.", ACCOUNT),
    ("ts_open_risk_fraction", "Loss if every stop is hit, share of equity.", ACCOUNT),
    ("ts_currency_exposure_fraction", "Net exposure of a currency, multiple of equity.", ("account", "currency")),
    ("ts_trading_state", "1 for the present trading state.", ("account", "state")),
    ("ts_lease_age_seconds", "Since the lease was last renewed.", ACCOUNT),
    ("ts_lease_epoch", "Epoch of the lease.", ACCOUNT),
    ("ts_loop_lag_seconds", "How late the event loop was, at worst since the last look.", ()),
    ("ts_alerts_pending", "Alerts that wait to be delivered.", ()),
    ("ts_divergence_r", "Result of live trades less that of a replay of the same bars, R.", ("account", "app")),
    ("ts_invariant_violations", "Violations of an invariant at the last check.", ("account", "invariant")),
)
HISTOGRAMS: Final[Sequence[tuple[str, str, tuple[str, ...], Sequence[float]]]] = (
    ("ts_order_ack_seconds", "First byte of an order to its acknowledgment.", ("account", "app"), SECONDS),
    ("ts_fill_slippage_pips", "Paid worse than the decision expected.", ("account", "instrument", "app"), PIPS),
    ("ts_reconcile_seconds", "Length of a recovery.", ACCOUNT, SECONDS),
    ("ts_journal_commit_seconds", "Length of a durable commit.", ACCOUNT, SECONDS),
)


class _Registry(CollectorRegistry):
    """Leaves out the `_created` series: the client makes one per counter and histogram, and nobody asked for them."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class MetricsCollector:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = _Registry()
        self._metrics: dict[str, Any] = {}
        for name, what, labels in COUNTERS:
            self._metrics[name] = Counter(name, what, labels, registry=self.registry)
        for name, what, labels in GAUGES:
            self._metrics[name] = Gauge(name, what, labels, registry=self.registry)
        for name, what, labels, buckets in HISTOGRAMS:
            self._metrics[name] = Histogram(name, what, labels, registry=self.registry, buckets=buckets)

    def __getitem__(self, name: str) -> Any:
        """Return a metric of prometheus-client by its name."""
        return self._metrics[name]

    def account(self, account: str, *, app: str = "") -> "AccountMetrics":
        """Return the metrics of an account.

        Args:
            account: The platform's id of it; a venue's number is masked.
            app: Strategy app that trades it, empty when several do.
        """
        return AccountMetrics(self, str(mask_account(account)), app)

    def set_loop_lag(self, seconds: float) -> None:
        """Say how late the event loop was."""
        self["ts_loop_lag_seconds"].set(seconds)

    def set_alerts_pending(self, count: int) -> None:
        """Say how many alerts wait to be delivered."""
        self["ts_alerts_pending"].set(count)

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry).decode()


class AccountMetrics:
    """The metrics of one account; cheap enough to be called at every event.

    Args:
        collector: Of the process.
        account: Label value.
        app: Label value.
    """

    def __init__(self, collector: MetricsCollector, account: str, app: str) -> None:
        self._collector, self._account, self._app = collector, account, app
        for state in STATES:
            self._at("ts_trading_state", state=state).set(0)

    def _at(self, name: str, **labels: str) -> Any:
        """Return a metric with this account's labels and those given."""
        metric = self._collector[name]
        own = {"account": self._account, "app": self._app}
        return metric.labels(**labels, **{k: v for k, v in own.items() if k in metric._labelnames})

    def on_changes(self, changes: Sequence[AccountChange]) -> None:
        """Count orders that reached a new state; a listener of the order manager."""
        for change in changes:
            if isinstance(change, OrderMoved) and change.old_status is not change.order.status:
                self.count_order(change.order)

    def count_order(self, order: LiveOrder) -> None:
        """Count an order under the state it has reached."""
        self._at("ts_orders", instrument=order.symbol, state=order.status.value).inc()

    def count_denied(self, code: str, n: int = 1) -> None:
        """Count denials under their code."""
        self._at("ts_denied", code=code).inc(n)

    def show_orders(self, orders: Mapping[str, LiveOrder]) -> None:
        """Say how many orders are UNKNOWN now."""
        unknown = sum(order.status is OrderStatus.UNKNOWN for order in orders.values())
        self._at("ts_order_unknown").set(unknown)

    def observe_ack(self, seconds: float) -> None:
        """Take in how long a venue took to acknowledge an order."""
        self._at("ts_order_ack_seconds").observe(seconds)

    def observe_entry(self, trade: TrackedTrade) -> None:
        """Take in the slippage of an entry, if the decision said what it expected; for `TradeTracker(on_entry=...)`."""
        if trade.entry_slippage_pips is not None:
            symbol = trade.trade.symbol
            self._at("ts_fill_slippage_pips", instrument=symbol).observe(trade.entry_slippage_pips)

    def observe_reconcile(self, seconds: float) -> None:
        """Take in the length of a recovery."""
        self._at("ts_reconcile_seconds").observe(seconds)

    def observe_commit(self, seconds: float) -> None:
        """Take in the length of a durable commit."""
        self._at("ts_journal_commit_seconds").observe(seconds)

    def set_events(self, *, lag: int, hole_seconds: float) -> None:
        """Say how far the ingested events are behind the venue, and how old the oldest hole is."""
        self._at("ts_event_cursor_lag").set(lag)
        self._at("ts_event_hole_seconds").set(hole_seconds)

    def set_ages(self, *, streams: Mapping[str, float], quotes: Mapping[str, float]) -> None:
        """Say how long ago each stream was heard and each instrument quoted, seconds."""
        for stream, age in streams.items():
            self._at("ts_stream_age_seconds", stream=stream).set(age)
        for instrument, age in quotes.items():
            self._at("ts_quote_age_seconds", instrument=instrument).set(age)

    def set_clock_offset(self, seconds: float) -> None:
        """Say how far the venue's clock is from ours."""
        self._at("ts_clock_offset_seconds").set(seconds)

    def set_equity(self, figures: EquityFigures) -> None:
        """Say where the account stands."""
        self._at("ts_equity").set(float(figures.equity))
        self._at("ts_drawdown_fraction").set(figures.drawdown_fraction)

    def set_exposure(self, *, open_risk_fraction: float, currencies: Mapping[str, float]) -> None:
        """Say what is at risk and in which currencies, as shares and multiples of equity."""
        self._at("ts_open_risk_fraction").set(open_risk_fraction)
        for currency, fraction in currencies.items():
            self._at("ts_currency_exposure_fraction", currency=currency).set(fraction)

    def set_state(self, state: str) -> None:
        """Say the trading state: reconciling, active, reducing or halted."""
        for name in STATES:
            self._at("ts_trading_state", state=name).set(name == state)

    def set_lease(self, *, age_seconds: float, epoch: int) -> None:
        """Say how old the lease is and which one it is."""
        self._at("ts_lease_age_seconds").set(age_seconds)
        self._at("ts_lease_epoch").set(epoch)

    def set_divergence(self, app: str, total_r: float) -> None:
        """Say how far the trades of a strategy are from their replay, R."""
        self._collector["ts_divergence_r"].labels(account=self._account, app=app).set(total_r)

    def set_violations(self, counts: Mapping[str, int]) -> None:
        """Say how often each invariant is violated now."""
        for invariant, count in counts.items():
            self._at("ts_invariant_violations", invariant=invariant).set(count)


def summary(trades: TradeFigures, equity: EquityFigures) -> dict[str, float]:
    """Return the figures that a person asks for first.

    Args:
        trades: Of closed trades.
        equity: Of the account.

    Returns:
        Win rate, profit factor and expectancy in R of closed trades; net, net of the day, drawdown and deepest drawdown
        of the account, open trades included. nan where there is nothing to divide by.
    """
    return {
        "n_trades": float(trades.n_trades),
        "win_rate": trades.win_rate,
        "profit_factor": trades.profit_factor,
        "expectancy_r": trades.expectancy_r,
        "net": float(equity.net),
        "day_net": float(equity.day_net),
        "drawdown_fraction": equity.drawdown_fraction,
        "max_drawdown_fraction": equity.max_drawdown_fraction,
    }


class MetricsServer:
    """Answers scrapers with the present metrics, in a thread of its own; a context manager.

    Args:
        collector: What is shown.
        port: 0 takes a free one.
        host: Loopback unless the scraper sits on another machine of a private network: nothing here asks who reads.
        refresh: Called before each answer, to bring ages up to date; it runs in the server's thread.

    Raises:
        ConfigError: The port is taken.
    """

    def __init__(
        self,
        collector: MetricsCollector,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        refresh: Callable[[], None] | None = None,
    ) -> None:
        registry = collector.registry if refresh is None else _Refreshing(collector.registry, refresh)
        try:
            server, thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigError(
                f"The metrics cannot be shown at {host}:{port}: {error.strerror or error}. Choose another port, or 0 "
                "for any free one.",
                code="metrics_port",
            ) from error
        self._server: WSGIServer = server
        self._thread: threading.Thread = thread
        self.url = f"http://{host}:{server.server_port}/metrics"

    def close(self) -> None:
        """Stop answering and give the port back; twice is no error."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Refreshing(CollectorRegistry):
    """A view of a registry that is brought up to date before it is read."""

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], None]) -> None:
        super().__init__()
        self._read, self._refresh = registry, refresh

    def collect(self) -> Iterator[Metric]:
        self._refresh()
        yield from self._read.collect()

"""Open a paper account: the venue as its log leaves it, on known bars or on a real venue's prices."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from tradesentry.backtest.data import DataRequest, MarketData, load_market_data
from tradesentry.backtest.engine import finish
from tradesentry.bootstrap.parts import OpenAccount, Opening, converters_of, polled_feed, setup_of
from tradesentry.bootstrap.venues import oanda_prices
from tradesentry.core.broker.account_settings import PaperSettings, paper_settings
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.broker.paper_feed import PaperFeed, pump_quotes, settle_missed_bars
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.broker.paper_store import PaperStore, unpack
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import MARKET
from tradesentry.core.domain.venue import VenueInstrument
from tradesentry.core.execution.matching import MATCHING
from tradesentry.core.execution.setup import currency_table, fill_conversion, fill_market, new_account, new_rules
from tradesentry.core.market.bars import timeframe_ns, to_ns
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.market.feeds import Instant, ReplayClock, ReplayFeed
from tradesentry.core.market.instruments import canonical_symbol, instrument
from tradesentry.core.strategy.live_memory import LiveSetup
from tradesentry.core.strategy.run_rules import rules_of
from tradesentry.core.utils.kernel import new_records


async def open_paper(o: Opening) -> OpenAccount:
    """Return the parts of a paper account."""
    settings = paper_settings(o.link.settings)
    symbols = sorted({canonical_symbol(symbol) for symbol in settings.symbols})
    if not symbols:
        raise ConfigError(f"Paper account {o.link.account_ref!r} has no markets. Link it with --symbols EURUSD,GBPUSD.")
    if settings.is_replay:
        return await _open_replay(o, settings, symbols)
    source = await oanda_prices(o)
    offered = {name: item.instrument for name, item in (await source.instruments()).items()}
    converts = converters_of(symbols, offered, settings.currency, settings.rates)
    setup = setup_of(settings, [offered[s] for s in (*symbols, *converts)], converts=converts, last_ns=o.clock.now_ns())
    broker = await _paper_broker(o, settings, setup, o.clock, fills_on="quote")
    every = (*symbols, *converts)
    await settle_missed_bars(broker, source, every, granularity=settings.timeframe, now_ns=o.clock.now_ns())
    feed = polled_feed(source, every, settings.timeframe, o.clock)
    return OpenAccount(
        broker, feed, o.clock, setup, "paper", others=[source],
        background=[lambda: pump_quotes(broker, source, every)],
    )  # fmt: skip


async def _open_replay(o: Opening, settings: PaperSettings, symbols: Sequence[str]) -> OpenAccount:
    data = await asyncio.to_thread(_replay_data, settings, symbols)
    items = [instrument(series.symbol) for series in data.series]
    converts = tuple(series.symbol for series in data.series[data.n_traded :])
    first_ns = min(int(series.bars["open_ns"][0]) for series in data.series)
    last_ns = max(int(series.bars["close_ns"][-1]) for series in data.series)
    setup = setup_of(settings, items, converts=converts, last_ns=last_ns, first_ns=first_ns)
    past_ns = to_ns(settings.trade_from) or 0
    clock = ReplayClock(o.clock, max(first_ns, past_ns))
    broker = await _paper_broker(o, settings, setup, clock, fills_on="bar")
    clock.move_to(broker.venue.now_ns)
    bars = {series.symbol: series.bars for series in data.series}
    feed = PaperFeed(ReplayFeed(bars, clock, speed=settings.speed, since_ns=past_ns), broker)

    def past(until_ns: int) -> list[Instant]:
        """Return the bars before a run's first decision."""
        return list(ReplayFeed(bars, clock).known(max(until_ns, past_ns)))

    return OpenAccount(
        broker, feed, clock, setup, "paper", is_replay=True, is_paced=settings.is_paced,
        past=past if past_ns else None, n_instants=feed.n_instants,
    )  # fmt: skip


def _replay_data(settings: PaperSettings, symbols: Sequence[str]) -> MarketData:
    request = DataRequest(
        symbols=tuple(symbols),
        timeframe=settings.timeframe,
        source=settings.prices,
        account_currency=settings.currency,
        rates=settings.rates,
        intrabar="pessimistic",
        from_=settings.from_,
        to=settings.to,
        catalog=settings.catalog,
    )
    return load_market_data(request)


async def _paper_broker(
    o: Opening, settings: PaperSettings, setup: LiveSetup, clock: Clock, *, fills_on: Literal["quote", "bar"]
) -> PaperBroker:
    """Return the broker of a paper account as its log leaves it."""
    log, lease = o.stores.paper_log, o.lease
    store = PaperStore(lambda entries: log.append(lease, entries))
    memory = _paper_memory(o, settings, setup)
    items = [venue_instrument(item) for item in setup.instruments.values()]
    venue = PaperVenue(
        memory, items, account=o.link.account_ref, log_id=f"paper:{o.link.account_id}", currency=settings.currency,
        fills_on=fills_on, sink=store.take,
    )  # fmt: skip
    store.attach(venue)
    entries = await log.read_all(lease)
    if entries and entries[-1].snapshot is not None:
        unpack(venue, entries[-1].snapshot, [dict(entry.payload) for entry in entries])
    venue.epoch = max(venue.epoch, lease.epoch)
    return PaperBroker(venue, clock, gate=o.gate, keep=store.flush)


def _paper_memory(o: Opening, settings: PaperSettings, setup: LiveSetup) -> PaperMemory:
    """Return the records of a paper account: no limits of ours but the stop-out, which is the venue's."""
    items = list(setup.instruments.values())
    currencies = currency_table(items, setup.currency)
    limits = setup.limits.model_copy(update={"is_on": False, "min_free_margin": 0.0})
    account = new_account(setup.capital, limits, n_currencies=len(currencies), equity_step_ns=1)
    for name in ("daily_loss", "market_daily_loss", "drawdown_reduce", "drawdown_halt"):
        account["limits"][name] = np.inf
    spec = o.runs[0].config.calendar() if o.runs else CalendarSpec()
    rules = new_rules(bar_ns=timeframe_ns(settings.timeframe), pip=items[0].pip, weekend="hold")[0]
    memory = PaperMemory(_markets(items, setup, currencies, spec), account, rules, MATCHING)
    for m, item in enumerate(items):
        for run in reversed(o.runs):
            if item.symbol in run.symbols:
                memory.books[m].rules = rules_of(run.config, pip=item.pip, is_always_open=item.is_always_open)
    return memory


def _markets(items: Sequence[Instrument], setup: LiveSetup, currencies: Sequence[str], spec: CalendarSpec) -> Any:
    """Return the MARKET array of an account's symbols, with the calendar of its first strategy."""
    markets = new_records(len(items), MARKET)
    rows = {item.symbol: i for i, item in enumerate(items)}
    for i, item in enumerate(items):
        fill_market(markets[i], item, setup.costs, index=i, currencies=currencies)
        if item.symbol not in setup.converts:
            fill_conversion(markets[i], item, account_currency=setup.currency, rows=rows, rates=setup.rates)
        markets["calendar"][i] = build_calendar(spec, item, *setup.calendar_ns, news=setup.news)[0]
    return markets


def venue_instrument(item: Instrument) -> VenueInstrument:
    """Return an instrument as a paper venue trades it: prices on its tick, sizes on its step."""
    digits = max(0, -int(Decimal(str(item.tick)).normalize().as_tuple().exponent))
    step = Decimal(str(item.unit_step)).normalize()
    return VenueInstrument(
        item, item.symbol, digits, max(0, -int(step.as_tuple().exponent)), step, Decimal(str(item.unit_min)),
        Decimal(str(item.unit_max)), min_stop_distance=item.min_stop_pips * item.pip,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """What a replay came to, as a back-test counts it: what is open at the end is closed at the last prices."""

    n_trades: int
    net: float
    """Account currency, after all costs."""
    total_r: float
    """Sum of the R-multiples of trades that have one."""
    equity: float
    n_open: int
    """Trades that were open at the end; they are among `n_trades`."""


def figures_of(venue: PaperVenue) -> Figures:
    """Return what a paper account came to; the account itself is left as it is.

    Args:
        venue: After its last bar.
    """
    closed = [row for row in venue.transactions if row["kind"] == "order_filled" and row["is_closed"]]
    r_multiples = [float(row["r_multiple"]) for row in closed if row.get("r_multiple") is not None]
    whole = venue.memory
    copy = PaperMemory(whole.markets, whole.account.copy(), whole.books[0].rules, whole.matching)
    copy.load(whole.save())
    copy.account["n_trades"] = copy.account["n_rejects"] = copy.account["n_equity"] = 0
    finish(copy.desk, copy.account)
    rest = copy.trades[: int(copy.account.n_trades[0])]
    r_multiples += [float(row.r_multiple) for row in rest if np.isfinite(row.r_multiple)]
    paid = sum((Decimal(row["amount"]) for row in venue.transactions if row["kind"] == "transfer"), Decimal(0))
    balance, equity = float(copy.account.balance[0]), float(copy.account.equity[0])
    start = venue_capital(venue) + float(paid)
    return Figures(len(closed) + len(rest), balance - start, math.fsum(r_multiples), equity, len(rest))


def venue_capital(venue: PaperVenue) -> float:
    """Return the balance that a paper account began with, from its log."""
    if not venue.transactions:
        return float(venue.memory.account.balance[0])
    first = venue.transactions[0]
    return float(Decimal(first["balance"]) - Decimal(first.get("amount", 0)))

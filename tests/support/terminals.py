"""Fake terminals and requests to them, made with few arguments."""

import sys
from contextlib import contextmanager

from tests.support.markets import LIMITLESS, new_account, new_markets, rules_of
from tests.support.venues import NO_LIMIT, TUESDAY_NS, quote_at, venue_instrument
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal import FakeTerminal
from tradesentry.core.broker.fake_terminal_profile import AccountTerms, symbol_terms
from tradesentry.core.broker.fake_terminal_venue import TerminalVenue
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.execution.book import reduce_position
from tradesentry.core.execution.matching import MATCHING

NETTING = {"margin_mode": mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING}
SUFFIX = ".m"


def new_terminal_venue(symbols=("EURUSD", "USDJPY"), *, capital=100_000.0, faults="", seed=0, **numbers):
    """Return a dollar account without costs, as a terminal's server needs it; `numbers` overwrite MARKET fields."""
    limits = NO_LIMIT | {"stop_out_level": LIMITLESS.stop_out_level}
    memory = PaperMemory(new_markets(symbols, **numbers), new_account(capital, **limits), rules_of(), MATCHING)
    script = FaultScript.parse(faults, seed=seed)
    return TerminalVenue(memory, [venue_instrument(name) for name in symbols], reduce=reduce_position, faults=script)


def new_terminal(
    symbols=("EURUSD", "USDJPY"),
    *,
    clock=None,
    faults="",
    seed=0,
    account=None,
    symbol=None,
    suffix=SUFFIX,
    venue=None,
    venue_options=None,
    initialized=False,
    quoted=True,
    **options,
):
    """Return a terminal with a hedging account, Tuesday noon, nothing selected, a first quote of each market.

    Args:
        symbols: Canonical names.
        clock: FakeClock of Tuesday noon when absent.
        faults: Script of the wire, of trading and of the server.
        seed: Of the faults.
        account: Fields of `AccountTerms`.
        symbol: Fields of `SymbolTerms`, for all symbols.
        suffix: Of the server's symbol names.
        venue: A `TerminalVenue`; a new one with `venue_options` when absent.
        venue_options: Of `new_terminal_venue`.
        initialized: Whether `initialize` was called and all symbols selected.
        quoted: Whether there is a first quote.
        options: Of `FakeTerminal`.
    """
    clock = clock or FakeClock(TUESDAY_NS)
    terminal = FakeTerminal(clock, **options)
    add_account(terminal, venue or new_terminal_venue(symbols, **(venue_options or {})), account, symbol, suffix)
    if quoted:
        for name in symbols:
            is_yen = name.endswith("JPY")
            terminal.show(quote_at(150.0 if is_yen else 1.1, symbol=name, spread=0.01 if is_yen else 0.0001))
    if initialized:
        terminal.initialize()
        for name in symbols:
            terminal.symbol_select(f"{name}{suffix}")
    terminal.disturb(FaultScript.parse(faults, seed=seed))
    return terminal


def add_account(terminal, venue, account=None, symbol=None, suffix=SUFFIX):
    """Make an account known to a terminal."""
    terms = [symbol_terms(item, suffix=suffix, **(symbol or {})) for item in venue.instruments.values()]
    return terminal.add_account(venue, terms, AccountTerms(**(account or {})))


@contextmanager
def installed(terminal):
    """Put a terminal where the package `MetaTrader5` would be."""
    before = sys.modules.get("MetaTrader5")
    sys.modules["MetaTrader5"] = terminal
    try:
        yield terminal
    finally:
        terminal.release()
        del sys.modules["MetaTrader5"]
        if before is not None:
            sys.modules["MetaTrader5"] = before


def deal(volume=0.1, order_type=mt5.ORDER_TYPE_BUY, **fields):
    """Return a request to deal at once, FOK, magic 7."""
    return {
        "action": mt5.TRADE_ACTION_DEAL,
        "symbol": "EURUSD.m",
        "volume": volume,
        "type": order_type,
        "type_filling": mt5.ORDER_FILLING_FOK,
        "magic": 7,
        **fields,
    }


def closing(position, volume=None, **fields):
    """Return a request to close a TradePosition, all of it unless `volume` says otherwise."""
    is_buy = position.type == mt5.POSITION_TYPE_BUY
    order_type = mt5.ORDER_TYPE_SELL if is_buy else mt5.ORDER_TYPE_BUY
    volume = position.volume if volume is None else volume
    return deal(volume, order_type, symbol=position.symbol, position=position.ticket, **fields)


def pending(price, order_type=mt5.ORDER_TYPE_BUY_LIMIT, volume=0.1, **fields):
    """Return a request to rest an order, magic 7."""
    return {
        "action": mt5.TRADE_ACTION_PENDING,
        "symbol": "EURUSD.m",
        "volume": volume,
        "type": order_type,
        "price": price,
        "type_filling": mt5.ORDER_FILLING_RETURN,
        "magic": 7,
        **fields,
    }


def name_of(code):
    """Return the name of a retcode without its prefix."""
    names = {value: name for name, value in mt5.CONSTANTS.items() if name.startswith("TRADE_RETCODE_")}
    return names.get(code, str(code)).removeprefix("TRADE_RETCODE_")

"""What a fake terminal is set to: the account's terms, each symbol's terms, and the server's clock.

Separate from what it does, because tests turn these while it runs: a symbol is closed for trading, the button for
automatic trading is pressed, another person logs in. The defaults are those of a common retail account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import VenueInstrument
from tradesentry.core.market.source_clock import SourceClock
from tradesentry.core.market.zones import IntArray, local_from_utc, utc_from_local

ALL_EXPIRATIONS: Final = 15
ALL_ORDERS: Final = 127
QUARTER_NS: Final = 900 * NS_PER_SECOND
LOT_DIGITS: Final = Decimal("1e-8")
CENT: Final = Decimal("0.01")


@dataclass(slots=True)
class AccountTerms:
    """An account as its server keeps it."""

    login: int = 5_012_345
    password: str = "password"  # noqa: S105 - of the fake
    server: str = "Fake-Demo"
    name: str = "Fake Trader"
    company: str = "Fake Broker Ltd."
    trade_mode: int = mt5.ACCOUNT_TRADE_MODE_DEMO
    margin_mode: int = mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING
    leverage: int = 30
    limit_orders: int = 200
    """Resting orders allowed; 0 any number."""
    limit_positions: int = 0
    """Open positions allowed; 0 any number."""
    margin_so_mode: int = mt5.ACCOUNT_STOPOUT_MODE_PERCENT
    margin_so_call: float = 100.0
    """Percent of the margin used, or account currency."""
    margin_so_so: float = 50.0
    trade_allowed: bool = True
    """False after a login with the investor's password."""
    trade_expert: bool = True
    """Whether the server lets programs trade."""
    fifo_close: bool = False
    server_tz: str = "Europe/Athens"
    """The server's clock; most switch with Europe, many with New York (America/New_York+7h)."""
    comment_prefix: str = ""
    """Servers may rewrite comments; this one puts so much in front and cuts at 31 characters."""

    @property
    def is_hedging(self) -> bool:
        """Whether opposite positions can be open at once."""
        return self.margin_mode == mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING

    def comment(self, text: str) -> str:
        """Return a comment as the server keeps it."""
        return f"{self.comment_prefix}{text}"[: mt5.COMMENT_CHARACTERS]

    def wall_seconds(self, utc_s: IntArray) -> IntArray:
        """Return what the server's clock shows at instants, written as if it were UTC, seconds."""
        clock = SourceClock.parse(self.server_tz)
        return local_from_utc(clock.zone, utc_s) + clock.shift_minutes * 60

    def server_ns(self, ts_ns: int) -> int:
        """Return the server's wall clock at an instant, written as if it were UTC."""
        return ts_ns + _offset_ns(self.server_tz, ts_ns // QUARTER_NS)

    def server_seconds(self, ts_ns: int) -> int:
        """Return `server_ns` in whole seconds, 0 for 0."""
        return self.server_ns(ts_ns) // NS_PER_SECOND if ts_ns else 0

    def utc_ns(self, server_seconds: int) -> int:
        """Return the instant of a server time in seconds, 0 for 0."""
        clock = SourceClock.parse(self.server_tz)
        local = server_seconds - clock.shift_minutes * 60
        return int(utc_from_local(clock.zone, local)) * NS_PER_SECOND if server_seconds else 0


@lru_cache(maxsize=4_096)
def _offset_ns(server_tz: str, quarter: int) -> int:
    """Return how far a server's clock is ahead of UTC in a quarter of an hour, inside which no clock is changed."""
    seconds = quarter * (QUARTER_NS // NS_PER_SECOND)
    return (int(AccountTerms(server_tz=server_tz).wall_seconds(np.asarray(seconds))) - seconds) * NS_PER_SECOND


@dataclass(slots=True)
class SymbolTerms:
    """A symbol as the server trades it; lots everywhere."""

    name: str
    """With the broker's suffix."""
    item: VenueInstrument
    path: str
    is_selected: bool = False
    """Whether it stands in the market watch, without which there are no prices."""
    trade_mode: int = mt5.SYMBOL_TRADE_MODE_FULL
    exemode: int = mt5.SYMBOL_TRADE_EXECUTION_MARKET
    filling_mode: int = mt5.FILLING_FLAG_FOK | mt5.FILLING_FLAG_IOC
    expiration_mode: int = ALL_EXPIRATIONS
    order_mode: int = ALL_ORDERS
    stops_level: int = 0
    """Points."""
    freeze_level: int = 0
    volume_min: Decimal = Decimal("0.01")
    volume_step: Decimal = Decimal("0.01")
    volume_max: Decimal = Decimal(500)
    volume_limit: Decimal = ZERO
    """Of positions and resting orders in one direction; 0 any."""
    margin_hedged: float | None = None
    """Contract units that a hedged lot costs margin for; None: one leg's full contract."""
    is_margin_by_larger_leg: bool = False

    @property
    def symbol(self) -> str:
        """Canonical name."""
        return self.item.instrument.symbol

    @property
    def contract(self) -> Decimal:
        """Units of a lot."""
        return Decimal(str(self.item.instrument.contract_units))

    @property
    def digits(self) -> int:
        """Decimals of a price."""
        return self.item.price_digits

    @property
    def point(self) -> float:
        """Last decimal of a price."""
        return float(Decimal(1).scaleb(-self.digits))

    def lots(self, units: Decimal) -> Decimal:
        """Return units in lots, without the dust that shares of units leave."""
        return (units / self.contract).quantize(LOT_DIGITS).normalize()

    def units(self, lots: Decimal) -> Decimal:
        """Return lots in units."""
        return lots * self.contract

    @property
    def hedged_contract(self) -> Decimal:
        """Contract units that a hedged lot costs margin for."""
        return self.contract if self.margin_hedged is None else Decimal(str(self.margin_hedged))


@dataclass(slots=True)
class TerminalTerms:
    """The program on the Windows machine."""

    connected: bool = True
    """To the server."""
    trade_allowed: bool = True
    """The button for automatic trading."""
    tradeapi_disabled: bool = False
    """Trading from Python switched off in the options."""
    maxbars: int = 100_000
    build: int = 6_231
    ping_us: int = 40_000
    path: str = "C:\\Program Files\\Fake Terminal"
    depth: dict[str, bool] = field(default_factory=dict)
    """Symbols whose depth of market is subscribed."""


def symbol_terms(item: VenueInstrument, *, suffix: str = "", **terms: Any) -> SymbolTerms:
    """Return the terms of an instrument whose name bears the broker's suffix; `terms` overwrite fields."""
    kind = item.instrument.kind
    folder = "Forex" if kind == "fx" else kind.title()
    name = f"{item.instrument.symbol}{suffix}"
    return SymbolTerms(name=name, item=item, path=f"{folder}\\{name}", **terms)


def seconds_of(moment: datetime | float) -> int:
    """Return what the package makes of a time argument: seconds as they stand, or those of a `datetime`."""
    return int(moment.timestamp()) if isinstance(moment, datetime) else int(moment)


TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "Done",
        mt5.TRADE_RETCODE_REQUOTE: "Requote",
        mt5.TRADE_RETCODE_REJECT: "Request rejected",
        mt5.TRADE_RETCODE_PLACED: "Order placed",
        mt5.TRADE_RETCODE_DONE: "Request executed",
        mt5.TRADE_RETCODE_DONE_PARTIAL: "Request executed partially",
        mt5.TRADE_RETCODE_INVALID: "Invalid request",
        mt5.TRADE_RETCODE_INVALID_VOLUME: "Invalid volume",
        mt5.TRADE_RETCODE_INVALID_PRICE: "Invalid price",
        mt5.TRADE_RETCODE_INVALID_STOPS: "Invalid stops",
        mt5.TRADE_RETCODE_TRADE_DISABLED: "Trade is disabled",
        mt5.TRADE_RETCODE_MARKET_CLOSED: "Market closed",
        mt5.TRADE_RETCODE_NO_MONEY: "No money",
        mt5.TRADE_RETCODE_PRICE_CHANGED: "Prices changed",
        mt5.TRADE_RETCODE_PRICE_OFF: "Off quotes",
        mt5.TRADE_RETCODE_INVALID_EXPIRATION: "Invalid expiration",
        mt5.TRADE_RETCODE_NO_CHANGES: "No changes",
        mt5.TRADE_RETCODE_SERVER_DISABLES_AT: "AutoTrading disabled by server",
        mt5.TRADE_RETCODE_CLIENT_DISABLES_AT: "AutoTrading disabled by client",
        mt5.TRADE_RETCODE_FROZEN: "Order or position frozen",
        mt5.TRADE_RETCODE_INVALID_FILL: "Unsupported filling mode",
        mt5.TRADE_RETCODE_CONNECTION: "No connection",
        mt5.TRADE_RETCODE_LIMIT_ORDERS: "Orders limit reached",
        mt5.TRADE_RETCODE_LIMIT_VOLUME: "Volume limit reached",
        mt5.TRADE_RETCODE_POSITION_CLOSED: "Position closed",
    }
)
"""What the server says to a retcode; others say their number."""

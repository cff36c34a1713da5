"""The transaction log of a paper account: what it writes, and how execution reads it.

One transaction is one JSON object with a gap-free `seq`; it says what happened in full, so the account's history can be
told from the log alone. `facts_of` is the inverse that execution uses; it is pure, because stored events are read again
after years.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.domain.events import BrokerEvent, EventFacts, EventKind, Fill, OrderTerms
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import ExitReason, OrderType, RejectCode, Side

EXIT_REASONS: Final[Mapping[ExitReason, str]] = {
    ExitReason.STOP_LOSS: "STOP_LOSS_ORDER",
    ExitReason.TAKE_PROFIT: "TAKE_PROFIT_ORDER",
    ExitReason.BREAK_EVEN: "STOP_LOSS_ORDER",
    ExitReason.TRAILING: "STOP_LOSS_ORDER",
    ExitReason.MARGIN: "MARKET_ORDER_MARGIN_CLOSEOUT",
}
"""Why a trade was reduced, in OANDA's words, which fit other venues as well."""
STRATEGY_EXIT: Final = "MARKET_ORDER_TRADE_CLOSE"
CANCEL_REASONS: Final[Mapping[int, str]] = {
    RejectCode.ORDER_EXPIRED: "TIME_IN_FORCE_EXPIRED",
    RejectCode.OPEN_TOO_FAR: "BOUNDS_VIOLATION",
    RejectCode.DATA_GAP: "MARKET_HALTED",
    RejectCode.GAP_BEYOND_STOP: "STOP_LOSS_ON_FILL_LOSS",
    RejectCode.TRADING_STATE: "ACCOUNT_LOCKED",
    RejectCode.MARKET_LOCKED: "ACCOUNT_LOCKED",
}
EXPIRED: Final = "TIME_IN_FORCE_EXPIRED"


def event_of(transaction: Mapping[str, Any], *, account: str, log_id: str, received_ts_ns: int) -> BrokerEvent:
    """Return a transaction as the event that a broker yields."""
    return BrokerEvent(
        account=account,
        log_id=log_id,
        seq=int(transaction["seq"]),
        kind=EventKind(transaction["kind"]),
        payload=transaction,
        ts_ns=int(transaction["ts_ns"]),
        received_ts_ns=received_ts_ns,
    )


def _fill(event: BrokerEvent) -> Fill:
    said = event.payload
    return Fill(
        account=event.account,
        fill_id=str(event.seq),
        leg=0,
        venue_order_id=str(said["order_id"]),
        client_order_id=said["client_order_id"],
        trade_ref=str(said["trade_id"]),
        symbol=said["symbol"],
        side=Side(said["side"]),
        units=Decimal(said["units"]),
        price=float(said["price"]),
        commission=decimal_of(said["commission"]),
        swap=ZERO,
        realized=decimal_of(said["realized"]),
        ts_ns=event.ts_ns,
        effect=Effect(said["effect"]),
    )


def _order_terms(said: Mapping[str, Any]) -> OrderTerms:
    return OrderTerms(
        symbol=said["symbol"],
        side=Side(said["side"]),
        units=Decimal(said["units"]),
        type=OrderType[said["type"].upper()],
        price=said.get("price"),
        stop_loss=said.get("stop_loss"),
        take_profit=said.get("take_profit"),
        expires_ts_ns=said.get("expires_ts_ns", 0),
    )


def facts_of(event: BrokerEvent) -> EventFacts:
    """Return what an event of a paper account says."""
    said = event.payload
    balance = said.get("balance")
    return EventFacts(
        kind=event.kind,
        venue_order_id=said.get("order_id"),
        client_order_id=said.get("client_order_id"),
        trade_ref=said.get("trade_id"),
        replaces=said.get("replaces"),
        replaced_by=said.get("replaced_by"),
        reason=said.get("reason", ""),
        fills=(_fill(event),) if event.kind is EventKind.ORDER_FILLED else (),
        which=said.get("which"),
        price=said.get("price") if event.kind is EventKind.PROTECTION else None,
        amount=decimal_of(said.get("amount", 0)),
        balance=None if balance is None else decimal_of(balance),
        terms=_order_terms(said) if event.kind is EventKind.ORDER_ACCEPTED else None,
    )

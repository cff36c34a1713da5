"""Turn wishes into what is stored and sent, and outcomes into evidence. Pure; nothing here knows a journal or a venue.

Separate from the order manager, which decides whether and when. The request that is stored beside an attempt is exactly
the one that is handed to the broker.
"""

from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

from pydantic import Field

from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    NotSent,
    OrderChange,
    OrderRef,
    OrderRequest,
    Outcome,
    RefusalClass,
    Refused,
    TradeRef,
    Unknown,
)
from tradesentry.core.domain.events import BrokerEvent, OrderTerms
from tradesentry.core.domain.live_account import Amend, Enter, LiveOrder, LiveTrade, Reduce, Wish
from tradesentry.core.domain.live_orders import Effect, OrderIntent, TimeInForce
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.journal_rows import json_value
from tradesentry.core.execution.order_file import OrderPlan
from tradesentry.core.execution.order_status import START, Answer, Answered, EventKey
from tradesentry.core.execution.verdicts import Allowed, Verdict
from tradesentry.core.utils.config_model import FrozenModel

TRANSIENT: Final = ("connect_refused", "connect_failed", "throttled", "deadline", "rate_limited")
"""Reasons of `NotSent` that pass by themselves; any other one is about the request."""
_INDICES_PER_SYMBOL: Final = 1_000
_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class OrderSettings(FrozenModel):
    """How orders are sent, repeated and given up."""

    max_decision_age_seconds: float = Field(10.0, gt=0, le=3_600, description="Oldest decision an entry may be of.")
    max_requotes: int = Field(2, ge=0, le=10, description="Resends of an entry at a new quote.")
    max_back_off_seconds: float = Field(30.0, ge=1, le=600, description="Longest wait before a refused order again.")
    max_refusals: int = Field(3, ge=1, le=100, description="Refusals in a row that pause an instrument.")
    pause_seconds: float = Field(900.0, gt=0, le=86_400, description="How long such a pause lasts.")
    unwind_seconds: float = Field(5.0, gt=0, le=600, description="Time to take back a plan whose leg failed.")
    max_exit_attempts: int = Field(5, ge=1, le=100, description="Attempts to close a trade per window, then alert.")
    exit_window_seconds: float = Field(600.0, gt=0, le=86_400, description="Window of those attempts.")
    fill_poll_seconds: float = Field(5.0, gt=0, le=60, description="Accepted market order without a fill is asked for.")
    protect_seconds: float = Field(1.0, gt=0, le=60, description="Time for a stop after a fill, else the trade ends.")
    min_step_pips: float = Field(1.0, ge=0, le=1_000, description="Smallest change worth a replacement.")
    min_interval_seconds: float = Field(5.0, ge=0, le=3_600, description="Least time between two of one target.")
    max_slippage_pips: float | None = Field(None, gt=0, le=1_000, description="Bound of market entries without one.")
    closes_external: bool = Field(False, description="Whether `flatten` also closes what others opened.")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a wish at first; what follows comes with the account's changes."""

    wish: Wish
    verdict: Verdict
    seq: int | None = None
    """Of the order concerned; None when nothing was journaled for it."""
    outcome: Outcome | None = None
    """Of the first attempt; None when nothing was sent."""

    @property
    def is_allowed(self) -> bool:
        """Whether the gates let it pass."""
        return isinstance(self.verdict, Allowed)


@dataclass(frozen=True, slots=True)
class Place:
    """Send an entry."""

    request: OrderRequest


@dataclass(frozen=True, slots=True)
class Close:
    """Reduce a trade."""

    target: TradeRef
    remaining_units: Decimal


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Take a resting order back."""

    target: OrderRef


@dataclass(frozen=True, slots=True)
class ReplaceOrder:
    """Change a resting order."""

    target: OrderRef
    change: OrderChange


@dataclass(frozen=True, slots=True)
class SetProtection:
    """Move stop or target of a trade."""

    target: TradeRef
    stop_loss: float | None
    take_profit: float | None


Command: TypeAlias = Place | Close | CancelOrder | ReplaceOrder | SetProtection


def command_json(command: Command) -> dict[str, Any]:
    """Return a command as the journal keeps it."""
    return cast("dict[str, Any]", json_value({"command": type(command).__name__, **asdict(command)}))


def intent_index(symbol: str, number: int) -> int:
    """Return a number that no other market and wish of the same run and bar has.

    Args:
        symbol: Letters and digits, at most ten.
        number: Among the wishes for this market, below 1,000.
    """
    value = 0
    for letter in symbol.lower()[:10]:
        value = value * len(_LETTERS) + max(0, _LETTERS.find(letter))
    return value * _INDICES_PER_SYMBOL + number


def entry_intent(account: str, wish: Enter, *, run: UUID | None, bar_close_ns: int, units: Decimal) -> OrderIntent:
    """Return the intent of an entry; the journal fills in the number."""
    return OrderIntent(
        account=account,
        seq=0,
        symbol=wish.symbol,
        side=wish.side,
        units=units,
        type=wish.type,
        run=None if run is None else str(run),
        bar_close_ns=bar_close_ns,
        intent_index=intent_index(wish.symbol, wish.number),
        limit_price=wish.price if wish.type is OrderType.LIMIT else None,
        stop_price=wish.price if wish.type is OrderType.STOP else None,
        tif=TimeInForce.GTD if wish.expires_ts_ns else TimeInForce.GTC,
        expires_ts_ns=wish.expires_ts_ns,
        stop_loss=wish.stop_loss,
        take_profit=wish.take_profit,
        max_slippage_pips=wish.max_slippage_pips,
        effect=Effect.OPEN,
        group_id=wish.group,
        leg=wish.number,
        allow_partial=wish.allow_partial,
        tag=wish.tag,
    )


def exit_intent(account: str, wish: Reduce, trade: LiveTrade, *, run: UUID | None) -> OrderIntent:
    """Return the intent of an exit: an order of its own that takes units off a trade.

    It names no bar, because an absolute target may be asked for again.
    """
    return OrderIntent(
        account=account,
        seq=0,
        symbol=trade.symbol,
        side=Side(-trade.side),
        units=max(ZERO, trade.units - wish.remaining_units),
        run=None if run is None else str(run),
        effect=Effect.REDUCE,
        trade_ref=trade.trade_ref,
        tag=wish.reason,
    )


def price_bound(intent: OrderIntent, reference: float | None, *, pips: float | None, pip: float) -> float | None:
    """Return the worst price at which a market or stop entry may fill; None: unbounded.

    Args:
        intent: The entry.
        reference: Price that the decision expected.
        pips: Slippage allowed when the intent names none.
        pip: Of the instrument.
    """
    allowed = intent.max_slippage_pips if intent.max_slippage_pips is not None else pips
    base = intent.stop_price if intent.type is OrderType.STOP else reference
    if allowed is None or base is None or intent.type is OrderType.LIMIT:
        return None
    return base + intent.side * allowed * pip


def entry_request(key: str, plan: OrderPlan, *, bound: float | None, has_brackets: bool) -> OrderRequest:
    """Return the request that places an entry.

    Args:
        key: Client order id.
        plan: The order.
        bound: Worst price.
        has_brackets: Whether stop and target travel with it; a venue without gets the target later.
    """
    intent = plan.intent
    price = intent.limit_price if intent.limit_price is not None else intent.stop_price
    return OrderRequest(
        client_order_id=key,
        symbol=intent.symbol,
        side=intent.side,
        units=intent.units,
        type=intent.type,
        stop_loss=intent.stop_loss,
        price=price,
        take_profit=intent.take_profit if has_brackets else None,
        tif=intent.tif,
        expires_ts_ns=intent.expires_ts_ns,
        price_bound=bound,
        allow_partial=intent.allow_partial,
        reference_price=plan.reference_price,
        ticket=plan.ticket,
    )


def stamped(command: Command, stamp: CommandStamp) -> Command:
    """Return a command with the authority that it is sent on."""
    if isinstance(command, Place):
        return Place(replace(command.request, stamp=stamp))
    if isinstance(command, CancelOrder):
        return CancelOrder(replace(command.target, stamp=stamp))
    if isinstance(command, ReplaceOrder):
        return ReplaceOrder(replace(command.target, stamp=stamp), command.change)
    return replace(command, target=replace(command.target, stamp=stamp))


def amended_terms(order: LiveOrder, wish: Amend) -> OrderTerms:
    """Return what a resting entry becomes by an amendment."""
    return OrderTerms(
        symbol=order.symbol,
        side=order.side,
        units=order.units - order.filled_units,
        type=order.type,
        price=order.price,
        stop_loss=order.stop_loss if wish.stop_loss is None else wish.stop_loss,
        take_profit=order.take_profit if wish.take_profit is None else wish.take_profit,
        expires_ts_ns=order.expires_ts_ns,
    )


def events_of(outcome: Outcome) -> tuple[BrokerEvent, ...]:
    """Return the events that came with an outcome."""
    return outcome.events if isinstance(outcome, Accepted | Refused) else ()


def is_definite_retry(outcome: Outcome, effect: Effect) -> bool:
    """Say whether a command was definitely not executed and may be sent again.

    An entry that was not sent is not sent again: the strategy decides anew, with a fresh price.
    """
    if isinstance(outcome, Refused):
        return outcome.kind in (RefusalClass.REQUOTE, RefusalClass.BACK_OFF)
    return isinstance(outcome, NotSent) and effect is Effect.REDUCE and outcome.reason in TRANSIENT


def answer_of(attempt: int, outcome: Outcome, *, may_retry: bool, through: EventKey = START) -> Answered:
    """Return an outcome as evidence.

    Args:
        attempt: Number of the request.
        outcome: What the broker says became of it.
        may_retry: Whether it will be asked again.
        through: Newest event that came with it.
    """
    if isinstance(outcome, Accepted):
        is_nothing = outcome.order is None and not outcome.events
        answer = Answer.DONE if is_nothing else Answer.ACCEPTED
        return Answered(attempt, answer, "nothing_to_do" if is_nothing else "", through)
    if isinstance(outcome, Refused):
        return Answered(attempt, Answer.RETRY if may_retry else Answer.REFUSED, outcome.code, through)
    if isinstance(outcome, NotSent):
        reason = f"never_sent: {outcome.reason}"
        return Answered(attempt, Answer.RETRY if may_retry else Answer.ABSENT, reason, through)
    if not isinstance(outcome, Unknown):
        raise TypeError(outcome)
    return Answered(attempt, Answer.UNKNOWN, outcome.reason, through)


def slippage_left(intent: OrderIntent, bound: float | None, quote: Quote) -> bool:
    """Say whether a new quote lies within the bound of an entry."""
    return bound is None or intent.side * (quote.opening(intent.side) - bound) <= 0

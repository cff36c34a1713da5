"""All that is known about one trade at the venue, and the trade that follows from it.

As an order's file: evidence is collected, the trade is computed from the set, and the file is stored whole in the
trade's journal row, exact to the last bit. A trade of a stop that replaced another keeps only the newest of each guard
and the first stop, which is what R is measured by.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import TypeAdapter

from tradesentry.core.domain.events import Fill
from tradesentry.core.domain.live_account import LiveTrade
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.money import ZERO, decimal_of
from tradesentry.core.domain.orders import Side
from tradesentry.core.domain.venue import OpenTrade
from tradesentry.core.execution.journal_rows import PositionRecord
from tradesentry.core.execution.order_file import OrderFile
from tradesentry.core.execution.order_status import EventKey

STOP_LOSS: Final = "stop_loss"
TAKE_PROFIT: Final = "take_profit"
_MANY_GUARDS: Final = 12
STILL_GUARDED: Final = ("CLIENT_REQUEST_REPLACED", "LINKED_TRADE_CLOSED")
"""Ends of a guard that leave nobody unprotected: another one took its place, or the trade is over."""


@dataclass(frozen=True, slots=True)
class TradeFill:
    """Units that a fill added to the trade or took off it."""

    key: EventKey
    fill: Fill
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GuardSet:
    """A stop or target was placed."""

    key: EventKey
    which: str
    price: float
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class GuardGone:
    """A stop or target was removed; the venue may name only its order."""

    key: EventKey
    order_id: str = ""
    which: str = ""


@dataclass(frozen=True, slots=True)
class SwapPaid:
    """Overnight interest."""

    key: EventKey
    amount: Decimal
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Adopted:
    """The trade as a report showed it: everything up to `key` is in these numbers."""

    key: EventKey
    symbol: str
    side: Side
    units: Decimal
    initial_units: Decimal
    entry_price: float
    entry_ts_ns: int
    stop_loss: float | None
    take_profit: float | None
    initial_stop: float | None


TradeEvidence: TypeAlias = TradeFill | GuardSet | GuardGone | SwapPaid | Adopted
_KINDS: Final = {"fill": TradeFill, "guard": GuardSet, "gone": GuardGone, "swap": SwapPaid, "adopted": Adopted}
_ADAPTERS: Final[Mapping[str, TypeAdapter[Any]]] = {name: TypeAdapter(kind) for name, kind in _KINDS.items()}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Origin:
    """The order of ours that opened a trade."""

    key: str
    seq: int
    run: str | None
    stop_loss: float | None
    take_profit: float | None
    rate: float | None
    tag: str
    ticket: str


def origin_of(order: OrderFile) -> Origin | None:
    """Return what a trade keeps of the order that opened it; None when that is not ours."""
    if order.plan is None:
        return None
    intent = order.plan.intent
    return Origin(
        key=order.key,
        seq=intent.seq,
        run=intent.run,
        stop_loss=intent.stop_loss,
        take_profit=intent.take_profit,
        rate=order.plan.rate,
        tag=intent.tag,
        ticket=order.plan.ticket,
    )


def adopted(trade: OpenTrade, key: EventKey) -> Adopted:
    """Return a report of an open trade as evidence.

    Args:
        trade: As the venue shows it.
        key: Newest event that the report contains.
    """
    return Adopted(
        key=key,
        symbol=trade.symbol,
        side=trade.side,
        units=trade.units,
        initial_units=trade.initial_units,
        entry_price=trade.entry_price,
        entry_ts_ns=trade.entry_ts_ns,
        stop_loss=trade.stop_loss,
        take_profit=trade.take_profit,
        initial_stop=trade.initial_stop,
    )


def guard_now(evidence: Iterable[TradeEvidence], which: str) -> float | None:
    """Return the stop or target of a trade as it stands at the venue; None: there is none.

    Args:
        evidence: About one trade.
        which: stop_loss or take_profit.
    """
    evidence = list(evidence)
    placed = [(item.key, item.price, item.order_id) for item in evidence
              if isinstance(item, GuardSet) and item.which == which]  # fmt: skip
    shown = [(item.key, item.stop_loss if which == STOP_LOSS else item.take_profit, "") for item in evidence
             if isinstance(item, Adopted)]  # fmt: skip
    if not placed and not shown:
        return None
    key, price, order_id = max([*placed, *shown], key=lambda row: row[0])
    for item in evidence:
        if isinstance(item, GuardGone) and item.key > key:
            is_this = item.order_id == order_id if item.order_id and order_id else item.which == which
            price = None if is_this else price
    return price


def first_stop(evidence: Iterable[TradeEvidence]) -> float | None:
    """Return the price of the first stop that the venue confirmed."""
    stops = (item for item in evidence if isinstance(item, GuardSet) and item.which == STOP_LOSS)
    first = min(stops, key=lambda item: item.key, default=None)
    return None if first is None else first.price


def _pruned(evidence: frozenset[TradeEvidence]) -> frozenset[TradeEvidence]:
    """Return the evidence without guards that newer ones replaced; the first and the tightest stop stay."""
    guards = [item for item in evidence if isinstance(item, GuardSet)]
    if len(guards) < _MANY_GUARDS:
        return evidence
    kept: set[TradeEvidence] = set()
    for which in {item.which for item in guards}:
        of_kind = sorted((item for item in guards if item.which == which), key=lambda item: item.key)
        by_price = sorted(of_kind, key=lambda item: (item.price, item.key))
        kept |= {of_kind[0], of_kind[-1], by_price[0], by_price[-1]}
    left = {item for item in guards if item not in kept}
    return evidence - left if left else evidence


@dataclass(frozen=True, slots=True)
class TradeFile:
    """A trade: its origin, when that is ours, and what the venue said about it."""

    trade_ref: str
    origin: Origin | None = None
    evidence: frozenset[TradeEvidence] = frozenset()

    def with_evidence(self, items: Iterable[TradeEvidence], origin: Origin | None = None) -> "TradeFile":
        """Return the file with more evidence; the same file when nothing is new."""
        more = _pruned(self.evidence.union(items))
        origin = self.origin or origin
        return self if (more, origin) == (self.evidence, self.origin) else replace(self, evidence=more, origin=origin)

    def guard_orders(self) -> set[str]:
        """Return the venue's order ids of the guards."""
        return {item.order_id for item in self.evidence if isinstance(item, GuardSet) and item.order_id}

    def fills(self) -> list[TradeFill]:
        """Return each fill once, the oldest first; those that an adopted report contains are left out."""
        base = self._base()
        found: dict[tuple[str, int], TradeFill] = {}
        for item in sorted((item for item in self.evidence if isinstance(item, TradeFill)), key=lambda item: item.key):
            if base is None or item.key > base.key:
                found.setdefault((item.fill.fill_id, item.fill.leg), item)
        return list(found.values())

    @property
    def is_explained(self) -> bool:
        """Whether an event told how the trade was opened; else it was only seen in a report."""
        return any(isinstance(item, TradeFill) and item.fill.effect is Effect.OPEN for item in self.evidence)

    def _base(self) -> Adopted | None:
        bases = (item for item in self.evidence if isinstance(item, Adopted))
        return max(bases, key=lambda item: item.key, default=None)

    def live(self) -> LiveTrade | None:
        """Return the trade as others see it; None while nothing is known of its opening."""
        base, fills = self._base(), self.fills()
        opens = [item.fill for item in fills if item.fill.effect is Effect.OPEN]
        exits = [item for item in fills if item.fill.effect is Effect.REDUCE]
        if base is None and not opens:
            return None
        symbol, side = (base.symbol, base.side) if base is not None else (opens[0].symbol, opens[0].side)
        entry_price = _entry_price(base, opens)
        opened = sum((fill.units for fill in opens), ZERO)
        before = ZERO if base is None else base.units
        initial_units = opened + (ZERO if base is None else base.initial_units)
        reduced = sum((item.fill.units for item in exits), ZERO)
        initial_stop = self._initial_stop(base)
        origin = self.origin
        return LiveTrade(
            trade_ref=self.trade_ref,
            key=None if origin is None else origin.key,
            seq=None if origin is None else origin.seq,
            run=None if origin is None or origin.run is None else UUID(origin.run),
            symbol=symbol,
            side=side,
            units=max(ZERO, before + opened - reduced),
            initial_units=initial_units,
            entry_price=entry_price,
            entry_ts_ns=base.entry_ts_ns if base is not None else opens[0].ts_ns,
            stop_loss=guard_now(self.evidence, STOP_LOSS),
            take_profit=guard_now(self.evidence, TAKE_PROFIT),
            initial_stop=initial_stop,
            initial_risk=self._initial_risk(entry_price, initial_stop, initial_units),
            tag="" if origin is None else origin.tag,
            ticket="" if origin is None else origin.ticket,
            **self._money(fills, exits),
        )

    def tightest_stop(self) -> float | None:
        """Return the best stop that the trade ever had, or its order was placed with; None: it never had one."""
        live = self.live()
        if live is None:
            return None
        stops = [item.price for item in self.evidence if isinstance(item, GuardSet) and item.which == STOP_LOSS]
        known = (live.initial_stop, live.stop_loss, None if self.origin is None else self.origin.stop_loss)
        return max(
            (*stops, *(stop for stop in known if stop is not None)), key=lambda stop: live.side * stop, default=None
        )

    def _initial_stop(self, base: Adopted | None) -> float | None:
        stop = first_stop(self.evidence)
        if stop is None and base is not None:
            stop = base.initial_stop if base.initial_stop is not None else base.stop_loss
        return self.origin.stop_loss if stop is None and self.origin is not None else stop

    def _initial_risk(self, entry: float, stop: float | None, units: Decimal) -> Decimal | None:
        if stop is None or self.origin is None or self.origin.rate is None:
            return None
        return decimal_of(abs(entry - stop) * float(units) * self.origin.rate)

    def _money(self, fills: Collection[TradeFill], exits: Collection[TradeFill]) -> dict[str, Any]:
        swaps = sorted((item for item in self.evidence if isinstance(item, SwapPaid)), key=lambda item: item.key)
        last = max(exits, key=lambda item: item.key, default=None)
        return {
            "realized": sum((item.fill.realized for item in fills), ZERO),
            "commission": sum((item.fill.commission for item in fills), ZERO),
            "swap": sum((item.fill.swap for item in fills), ZERO) + sum((item.amount for item in swaps), ZERO),
            "exit_value": sum((float(item.fill.units) * item.fill.price for item in exits), 0.0),
            "exit_ts_ns": 0 if last is None else last.fill.ts_ns,
            "exit_reason": "" if last is None else last.reason,
        }

    def record(self, live: LiveTrade) -> PositionRecord:
        """Return the trade's row of the journal."""
        evidence = [said for _, said in sorted(map(_stored, self.evidence), key=itemgetter(0))]
        origin = None if self.origin is None else _ORIGIN.dump_python(self.origin, mode="json")
        return PositionRecord(
            trade_ref=self.trade_ref,
            seq=live.seq,
            instrument=live.symbol,
            side=live.side,
            units=live.units,
            entry_price=live.entry_price,
            stop_loss=live.stop_loss,
            take_profit=live.take_profit,
            initial_risk=live.initial_risk,
            opened_ns=live.entry_ts_ns,
            last_ts_ns=max(live.entry_ts_ns, live.exit_ts_ns),
            terms={"origin": origin, "evidence": evidence},
        )


_ORIGIN: Final = TypeAdapter(Origin)


@lru_cache(maxsize=16_384)
def _stored(item: TradeEvidence) -> tuple[str, dict[str, Any]]:
    """Return evidence as it is stored, with a text to sort by; the same dictionary each time, not to be changed."""
    name = _NAMES[type(item)]
    said = {"is": name, **_ADAPTERS[name].dump_python(item, mode="json")}
    return repr(said), said


def _entry_price(base: Adopted | None, opens: Collection[Fill]) -> float:
    """Return the average price of the opening fills; of one price that price itself, to the last bit."""
    parts = [(fill.units, fill.price) for fill in opens]
    if base is not None:
        parts.insert(0, (base.initial_units, base.entry_price))
    if len({price for _, price in parts}) == 1:
        return parts[0][1]
    return sum(float(units) * price for units, price in parts) / float(sum((units for units, _ in parts), ZERO))


def trade_of_record(record: PositionRecord) -> TradeFile:
    """Return the file that a row of the journal holds."""
    origin = record.terms.get("origin")
    items = []
    for said in record.terms.get("evidence", ()):
        values = {key: said[key] for key in said if key != "is"}
        items.append(_ADAPTERS[said["is"]].validate_python(values))
    return TradeFile(record.trade_ref, None if origin is None else _ORIGIN.validate_python(origin), frozenset(items))

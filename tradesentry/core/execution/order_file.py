"""All that is known about one order, and what follows from it: the plan, the evidence, the order as it stands.

A file is a value: more evidence makes a new one. It is stored whole in the order's journal row (`terms`), with decimals
as text and floats by their shortest exact form, so that a file read back is equal to the last bit although the columns
beside it are rounded for people.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, cast
from uuid import UUID

from pydantic import TypeAdapter

from tradesentry.core.domain.events import EventKind, OrderTerms
from tradesentry.core.domain.live_account import LiveOrder
from tradesentry.core.domain.live_orders import Effect, OrderIntent
from tradesentry.core.domain.live_orders import Evidence as Source
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution.journal_rows import (
    LOCAL,
    AttemptKind,
    OrderRecord,
    StoredIntent,
    intent_json,
    intent_of,
    json_value,
)
from tradesentry.core.execution.order_status import (
    Answer,
    Answered,
    Asked,
    Claimed,
    DeniedHere,
    EventKey,
    Evidence,
    Filled,
    Standing,
    VenueSaid,
    answer_to,
    distinct_fills,
    stand,
)

_KINDS: Final = {"denied": DeniedHere, "asked": Asked, "answered": Answered, "said": VenueSaid, "filled": Filled,
                 "claimed": Claimed}  # fmt: skip
_ADAPTERS: Final[Mapping[str, TypeAdapter[Any]]] = {name: TypeAdapter(kind) for name, kind in _KINDS.items()}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """What we meant by an order of ours, beyond what the venue is told."""

    intent: OrderIntent
    ticket: str = ""
    """INTENT record of the decision in hexadecimal."""
    reference_price: float | None = None
    group_policy: str = "independent"
    risk: Decimal = ZERO
    """Loss at the stop, account currency."""
    rate: float | None = None
    """Account currency per unit of the quote currency when it was decided."""
    remaining_units: Decimal | None = None
    """Of an exit: the absolute target."""

    def risk_json(self) -> dict[str, Any]:
        """Return what stands beside the intent in the journal; `plan_of` reads it back equal."""
        return {
            "ticket": self.ticket,
            "reference_price": self.reference_price,
            "group_policy": self.group_policy,
            "risk": str(self.risk),
            "rate": self.rate,
            "remaining_units": None if self.remaining_units is None else str(self.remaining_units),
        }


def plan_of(intent: OrderIntent, risk: Mapping[str, Any]) -> OrderPlan:
    """Return the plan of a stored intent.

    Args:
        intent: As stored.
        risk: What `OrderPlan.risk_json` wrote; more may stand beside it.
    """
    remaining = risk.get("remaining_units")
    return OrderPlan(
        intent=intent,
        ticket=risk.get("ticket", ""),
        reference_price=risk.get("reference_price"),
        group_policy=risk.get("group_policy", "independent"),
        risk=Decimal(risk.get("risk", "0")),
        rate=risk.get("rate"),
        remaining_units=None if remaining is None else Decimal(remaining),
    )


def evidence_json(item: object) -> dict[str, Any]:
    """Return one piece of evidence as JSON; `evidence_of` reads it back equal."""
    name = _NAMES[type(item)]
    return {"is": name, **_ADAPTERS[name].dump_python(item, mode="json")}


@lru_cache(maxsize=16_384)
def _stored(item: Evidence) -> tuple[str, dict[str, Any]]:
    """Return evidence as it is stored, with a text to sort by; the same dictionary each time, not to be changed."""
    said = evidence_json(item)
    return repr(said), said


@lru_cache(maxsize=4_096)
def _stored_plan(plan: OrderPlan) -> Mapping[str, Any]:
    """Return a plan as it is stored; the same dictionary each time, not to be changed."""
    return cast("dict[str, Any]", json_value({"intent": intent_json(plan.intent), "risk": plan.risk_json()}))


def evidence_of(said: Mapping[str, Any]) -> Evidence:
    """Return the evidence that `evidence_json` wrote."""
    name = said["is"]
    return cast("Evidence", _ADAPTERS[name].validate_python({key: said[key] for key in said if key != "is"}))


@dataclass(frozen=True, slots=True)
class OrderFile:
    """An order: ours with its plan, or somebody else's without."""

    key: str
    """Client order id, or `venue:` and the venue's id."""
    plan: OrderPlan | None = None
    evidence: frozenset[Evidence] = frozenset()
    source: Source | None = None
    """How we know the present status; None: from ourselves."""
    trade_ref: str | None = None
    """Of somebody else's order: the trade that it reduces."""

    def with_evidence(self, items: Iterable[Evidence], source: Source | None) -> "OrderFile":
        """Return the file with more evidence; the same file when nothing is new."""
        more = self.evidence.union(items)
        return self if more == self.evidence else replace(self, evidence=more, source=source or self.source)

    @property
    def effect(self) -> Effect:
        """What it may do to exposure."""
        if self.plan is not None:
            return self.plan.intent.effect
        return Effect.OPEN if self.trade_ref is None else Effect.REDUCE

    @property
    def venue_ids(self) -> tuple[str, ...]:
        """The venue's ids of the order, newest last."""
        seen: dict[str, EventKey] = {}
        for item in self.evidence:
            if isinstance(item, VenueSaid) and item.kind is EventKind.ORDER_ACCEPTED and item.venue_order_id:
                seen[item.venue_order_id] = max(item.key, seen.get(item.venue_order_id, item.key))
            elif isinstance(item, Filled) and item.fill.effect is self.effect:
                seen.setdefault(item.fill.venue_order_id, item.key)
            elif isinstance(item, Claimed):
                seen.setdefault(item.venue_order_id, EventKey(0, 0))
        return tuple(sorted(seen, key=lambda name: (seen[name], name)))

    def own_evidence(self) -> frozenset[Evidence]:
        """Return the evidence without fills of other orders: some venues show a trade's entry id with its stop's."""
        ids = set(self.venue_ids)
        others = {
            item for item in self.evidence if isinstance(item, Filled) and item.fill.effect is not self.effect
            and item.fill.venue_order_id not in ids
        }  # fmt: skip
        return self.evidence - others if others else self.evidence

    def standing(self) -> Standing:
        """Return where the order stands."""
        units = self.plan.intent.units if self.plan is not None else self._found_units()
        return stand(self.own_evidence(), units)

    def _found_units(self) -> Decimal:
        return sum((item.fill.units for item in distinct_fills(self.evidence)), ZERO)

    def terms(self) -> OrderTerms | None:
        """Return the newest terms that the venue has said or confirmed; None: those of the plan."""
        newest: tuple[EventKey, int, OrderTerms] | None = None
        for item in self.evidence:
            found: tuple[EventKey, int, OrderTerms] | None = None
            if isinstance(item, VenueSaid) and item.terms is not None:
                found = (item.key, 0, item.terms)
            elif isinstance(item, Asked) and item.kind is AttemptKind.REPLACE and item.terms is not None:
                answer = answer_to(self.evidence, item.attempt)
                if answer is not None and answer.answer is Answer.ACCEPTED:
                    found = (max(item.after, answer.through), item.attempt, item.terms)
            if found is not None and (newest is None or found[:2] > newest[:2]):
                newest = found
        return None if newest is None else newest[2]

    def live(self, standing: Standing) -> LiveOrder | None:
        """Return the order as others see it; None while too little is known of somebody else's."""
        terms = self.terms()
        fills = distinct_fills(self.own_evidence())
        trade_ref = next((item.fill.trade_ref for item in fills if item.fill.effect is self.effect), self.trade_ref)
        said: dict[str, Any] = {
            "key": self.key,
            "effect": self.effect,
            "status": standing.status,
            "units": standing.units,
            "filled_units": standing.filled_units,
            "average_price": standing.average_price,
            "venue_order_ids": self.venue_ids,
            "trade_ref": trade_ref,
            "reason": standing.cause if standing.status.is_terminal else "",
            "evidence": self.source,
            "last_ts_ns": max((item.fill.ts_ns for item in fills), default=0),
        }
        if self.plan is not None:
            return _own(self.plan, terms, said)
        if terms is not None:
            return LiveOrder(seq=None, run=None, symbol=terms.symbol, side=terms.side, type=terms.type,
                             **said, **_prices(terms))  # fmt: skip
        if not fills:
            return None
        first = fills[0].fill
        return LiveOrder(seq=None, run=None, symbol=first.symbol, side=first.side, type=OrderType.MARKET, **said)

    def record(self, live: LiveOrder) -> OrderRecord:
        """Return the order's row of the journal."""
        terms = {
            "type": live.type.name.lower(),
            "price": live.price,
            "stop_loss": live.stop_loss,
            "take_profit": live.take_profit,
            "expires_ts_ns": live.expires_ts_ns,
            "plan": None if self.plan is None else _stored_plan(self.plan),
            "evidence": [said for _, said in sorted(map(_stored, self.evidence), key=itemgetter(0))],
            "source": None if self.source is None else self.source.value,
            "trade_ref": self.trade_ref,
        }
        return OrderRecord(
            order_key=self.key,
            seq=live.seq,
            instrument=live.symbol,
            side=live.side,
            effect=live.effect,
            status=live.status,
            units=live.units,
            filled_units=live.filled_units,
            average_price=live.average_price,
            venue_order_ids=live.venue_order_ids,
            terms=terms,
            evidence=LOCAL if self.source is None else self.source.value,
            last_ts_ns=live.last_ts_ns,
        )


def _prices(terms: OrderTerms) -> dict[str, Any]:
    return {
        "price": terms.price,
        "stop_loss": terms.stop_loss,
        "take_profit": terms.take_profit,
        "expires_ts_ns": terms.expires_ts_ns,
    }


def _own(plan: OrderPlan, terms: OrderTerms | None, said: dict[str, Any]) -> LiveOrder:
    intent = plan.intent
    price = intent.limit_price if intent.limit_price is not None else intent.stop_price
    prices: dict[str, Any] = {
        "price": price,
        "stop_loss": intent.stop_loss,
        "take_profit": intent.take_profit,
        "expires_ts_ns": intent.expires_ts_ns,
    }
    if terms is not None:
        told = _prices(terms)
        prices |= {name: told[name] for name in told if told[name] not in (None, 0)}
    return LiveOrder(
        seq=intent.seq,
        run=None if intent.run is None else UUID(intent.run),
        symbol=intent.symbol,
        side=intent.side,
        type=intent.type,
        bar_close_ns=intent.bar_close_ns,
        ticket=plan.ticket,
        group=intent.group_id,
        tag=intent.tag,
        **prices,
        **(said | {"trade_ref": intent.trade_ref or said["trade_ref"]}),
    )


def file_of_record(record: OrderRecord) -> OrderFile:
    """Return the file that a row of the journal holds."""
    terms = record.terms
    plan = terms.get("plan")
    source = terms.get("source")
    return OrderFile(
        key=record.order_key,
        plan=None if plan is None else plan_of(intent_of(plan["intent"]), plan["risk"]),
        evidence=frozenset(evidence_of(item) for item in terms.get("evidence", ())),
        source=None if source is None else Source(source),
        trade_ref=terms.get("trade_ref"),
    )


def file_of_intent(stored: StoredIntent) -> OrderFile:
    """Return the file of an intent of which nothing else was stored."""
    return OrderFile(stored.client_order_id, plan_of(stored.intent, stored.risk))

"""Invariants of absence, protection, limits, state, alerts and ownership: I7 to I12, J11.

Each function looks at all evidence and returns sentences, one per violation.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.acceptance.soak.evidence import Evidence, Journal, Row, Span, VenueFile
from tests.acceptance.soak.folds import OrderStory, TradeStory, VenueStory, venue_story
from tests.acceptance.soak.order_checks import ABSENT, entries
from tests.acceptance.soak.readings import ask_of

Found = list[str]
SECOND = 10**9
FIXED_RATES = {"USD": 1.0, "EUR": 1.1, "GBP": 1.25, "AUD": 0.65, "CHF": 1 / 0.9}
"""Account money per unit of a currency; the soak's prices stay within a percent of these."""


@dataclass(frozen=True)
class Bounds:
    """What the soak allows; the limits are those that its traders were given."""

    currency_net: float = 2.0
    open_risk: float = 0.03
    tolerance: float = 0.03
    """Of equity. Prices move between the check and the fill, and rates are fixed here."""
    risk_tolerance: float = 0.4
    """Of the limit. Here risk counts from the entry, at the trader from the present price."""
    naked_seconds: float = 2.0
    outside_seconds: float = 3.0
    """How long somebody else's trade may be unknown to us before it counts."""
    max_send_seconds: float = 0.2
    arrival_seconds: float = 0.25
    """From the first byte to the line in the venue's log, on a busy machine."""
    horizon_seconds: float = 1.0
    """What the trader was told: after that long an order that it sent is no longer executed."""
    halt_seconds: float = 1.0
    """An order decided before the halt may still arrive that much later."""


def _overlap(start: int, end: int, spans: Sequence[Span], account: str) -> int:
    """Return how much of [start, end] lies inside the spans of an account, ns."""
    parts = [(max(start, s.start_ns), min(end, s.end_ns)) for s in spans if s.account in ("", account)]
    total, reached = 0, start
    for low, high in sorted(parts):
        if high > max(low, reached):
            total += high - max(low, reached)
            reached = high
    return total


@dataclass(frozen=True)
class FalseAbsence:
    """An order that the journal gave up and that is at the venue."""

    text: str
    is_venues: bool
    """The trader had waited out the horizon and the venue executed even later, against what it was promised."""


def given_up(evidence: Evidence, bounds: Bounds) -> list[FalseAbsence]:
    """Return every order that the journal calls NOT_PLACED, DENIED or REJECTED and the venue has; NOT_PLACED once."""
    return [
        found
        for account, journal in evidence.journal.items()
        for found in _given_up(account, evidence.venue.get(account, VenueFile()), journal, bounds)
    ]


def _given_up(account: str, venue: VenueFile, journal: Journal, bounds: Bounds) -> list[FalseAbsence]:
    orders = {order.client_order_id: order for order in entries(venue_story(venue.transactions))}
    clients = {row["seq"]: row["client_order_id"] for row in journal.intents}
    ends = {row["seq"]: row for row in journal.transitions}
    claims = {row["seq"]: row for row in journal.transitions if row["to_status"] == "not_placed"}
    claims |= {seq: row for seq, row in ends.items() if row["to_status"] in ABSENT and seq not in claims}
    found = []
    for seq, row in claims.items():
        if seq not in clients or (order := orders.get(clients[seq])) is None:
            continue
        sent = max((a["sending_ns"] for a in journal.attempts if a["seq"] == seq and a["kind"] == "place"), default=0)
        waited, late = (row["at_ns"] - sent) / SECOND, (order.at - sent) / SECOND
        what = f"order {seq} ({clients[seq]}) is or was {row['to_status']} and exists at the venue"
        why = f"given up as {row.get('cause', '?')} {waited:.2f} s after it was sent, executed after {late:.2f} s"
        is_venues = row["to_status"] == "not_placed" and late > waited >= bounds.horizon_seconds
        found.append(FalseAbsence(f"I7: {what} of {account}: {why}", is_venues))
    return found


def false_absences(evidence: Evidence, bounds: Bounds) -> Found:
    """I7: nothing that was given up exists at the venue, unless the venue broke the horizon."""
    return [found.text for found in given_up(evidence, bounds) if not found.is_venues]


def naked(evidence: Evidence, bounds: Bounds) -> Found:
    """I8: no open trade of ours is without a stop for longer than 2 s while a process holds its account."""
    found = []
    for account, venue in evidence.venue.items():
        end = max((t["at"] for t in venue.transactions), default=0)
        end = max(end, (venue.final or {}).get("at", end))
        for trade in venue_story(venue.transactions).trades.values():
            for start, stop in _naked_spans(trade, trade.closed_at or end):
                seconds = _overlap(start, stop, evidence.active, account) / SECOND
                if seconds > bounds.naked_seconds:
                    found.append(f"I8: trade {trade.trade_id} of {account} had no stop for {seconds:.1f} s")
    return found


def _naked_spans(trade: TradeStory, end: int) -> list[tuple[int, int]]:
    spans, since = [], trade.opened_at
    is_naked = True
    for at, _, price in trade.stops:
        if price is None and not is_naked:
            is_naked, since = True, at
        elif price is not None and is_naked:
            is_naked = False
            spans.append((since, at))
    return [*spans, (since, end)] if is_naked else spans


def loosened(evidence: Evidence, _: Bounds) -> Found:
    """I8: a stop of ours is never set looser than it was, except by somebody's hand."""
    found = []
    for account, venue in evidence.venue.items():
        for trade in venue_story(venue.transactions).trades.values():
            tightest: float | None = None
            for _, seq, price in trade.stops:
                if price is None or seq in venue.manual:
                    continue
                if tightest is not None and trade.side * (price - tightest) < -1e-9:
                    found.append(f"I8: the stop of trade {trade.trade_id} of {account} went from {tightest} to {price}")
                tightest = price if tightest is None else trade.side * max(trade.side * price, trade.side * tightest)
    return found


def limits(evidence: Evidence, bounds: Bounds) -> Found:
    """I9: after each order of ours that the venue took, the book is within its limits, pending included."""
    found = []
    stories = {account: VenueStory() for account in evidence.venue}
    everything = [(t["at"], account, t) for account, venue in evidence.venue.items() for t in venue.transactions]
    for at, account, said in sorted(everything, key=lambda item: (item[0], item[2]["seq"])):
        stories[account].tell(said)
        is_entry = said["kind"] == "order_accepted" and said.get("client_order_id") and not said.get("trade_id")
        if not is_entry or said.get("replaces"):
            continue
        for scope, inside in ((account, [stories[account]]), ("the book", list(stories.values()))):
            equity = float(sum((story.balance for story in inside), Decimal(0)))
            legs, risk = _exposure(inside, at=at, bounds=bounds)
            found += [
                f"I9: {currency} net of {scope} was {amount:,.0f} after order {said['seq']} of {account}"
                for currency, amount in legs.items()
                if currency != "USD" and abs(amount) > (bounds.currency_net + bounds.tolerance) * equity
            ]
            if risk > bounds.open_risk * (1 + bounds.risk_tolerance) * equity:
                found.append(f"I9: {scope} had {risk:,.0f} at risk after order {said['seq']}, equity {equity:,.0f}")
    return found


def _exposure(stories: Any, *, at: int, bounds: Bounds) -> tuple[dict[str, float], float]:
    legs: dict[str, float] = defaultdict(float)
    risk = 0.0
    for story in stories:
        rows: list[tuple[str, int, Decimal, float, float | None]] = []
        for trade in story.trades.values():
            is_new = trade.client_order_id is None and at - trade.opened_at < bounds.outside_seconds * SECOND
            if trade.closed_at is None and not is_new:
                rows.append((trade.symbol, trade.side, trade.units, trade.price, trade.stop))
        rows += [
            (o.symbol, o.side, o.units - o.filled, o.price or _level(o), o.stop)
            for o in story.orders.values()
            if o.is_open and o.trade_id is None and o.client_order_id is not None
        ]
        for symbol, side, units, price, stop in rows:
            base, quote = symbol[:3], symbol[3:]
            notional = float(units) * price * FIXED_RATES[quote]
            legs[base] += side * notional
            legs[quote] -= side * notional
            distance = max(0.0, side * (price - stop)) if stop is not None else 0.0
            risk += float(units) * distance * FIXED_RATES[quote]
    return legs, risk


def _level(order: OrderStory) -> float:
    return FIXED_RATES[order.symbol[:3]] / FIXED_RATES[order.symbol[3:]]


def backwards(evidence: Evidence, bounds: Bounds) -> Found:
    """I10 and the end of I9: state, mark and epoch never go back; a halt holds until a person lifts it."""
    found = []
    for account, journal in evidence.journal.items():
        for before, after in zip(journal.history, journal.history[1:], strict=False):
            found += [
                f"I10: {name} of {account} went from {before[name]} to {after[name]}"
                for name in ("high_water_mark", "epoch")
                if after[name] < before[name]
            ]
            is_lifted = any(s.account == account and s.start_ns <= after["at_ns"] <= s.end_ns for s in evidence.rearmed)
            if _is_halted(before) and not _is_halted(after) and not is_lifted:
                found.append(f"I10: {account} went from halted to {after['trading_state']} by {after['reason']!r}")
        for span in _halts(journal.history):
            late = span.start_ns + int(bounds.halt_seconds * SECOND)
            for said in evidence.venue[account].transactions if account in evidence.venue else ():
                is_entry = said["kind"] == "order_accepted" and said.get("client_order_id") and not said.get("trade_id")
                if is_entry and not said.get("replaces") and late < said["at"] < span.end_ns:
                    found.append(f"I9: order {said['seq']} of {account} came after the account was halted")
    return found


def _is_halted(row: Row) -> bool:
    return bool(row["trading_state"] == "halted" or row["return_state"] == "halted")


def _halts(history: Sequence[Row]) -> list[Span]:
    spans, since = [], None
    for row in history:
        if _is_halted(row) and since is None:
            since = row["at_ns"]
        elif not _is_halted(row) and since is not None:
            spans.append(Span(since, row["at_ns"]))
            since = None
    return [*spans, Span(since, 1 << 62)] if since is not None else spans


def missing_alerts(evidence: Evidence, _: Bounds) -> Found:
    """I11: every halt and every order or trade of somebody else has its alert, delivered at least once."""
    found = []
    for account, journal in evidence.journal.items():
        texts = [
            f"{row['topic']} {row['subject']} {row['dedupe_key']} {row['payload']}".lower() for row in journal.alerts
        ]
        n_halts = sum(
            _is_halted(after) and not _is_halted(before)
            for before, after in zip(journal.history, journal.history[1:], strict=False)
        )
        n_told = sum("halted" in text for text in texts)
        if n_told < n_halts:
            found.append(f"I11: {account} was halted {n_halts} times and alerted {n_told} times")
        found += [
            f"I11: nobody was told of {row['order_key']} of {account}, which is not ours"
            for row in journal.orders
            if row["is_external"] and row["effect"] == "open" and not any(_names(row, text) for text in texts)
        ]
    return found


def _names(row: Row, text: str) -> bool:
    return any(name in text for name in (row["order_key"].lower(), *(f"'{order}'" for order in row["venue_order_ids"])))


def stale_writes(evidence: Evidence, _: Bounds) -> Found:
    """I2, J11: whoever sends an order owns the epoch under which its attempt is journaled."""
    owned: dict[tuple[str, str], set[int]] = defaultdict(set)
    won: dict[tuple[str, int], int] = {}
    for claim in evidence.claims:
        owned[claim.account, claim.sender].add(claim.epoch)
        won[claim.account, claim.epoch] = claim.at_ns
    found = []
    for account, journal in evidence.journal.items():
        seqs = {row["client_order_id"]: row["seq"] for row in journal.intents}
        epochs: dict[int, set[int]] = defaultdict(set)
        for row in journal.attempts:
            if row["kind"] == "place":
                epochs[row["seq"]].add(row["epoch"])
            later = [at for (name, epoch), at in won.items() if name == account and epoch > row["epoch"]]
            if later and row["sending_ns"] > min(later) + SECOND // 20:
                found.append(f"J11: attempt {row['seq']}.{row['attempt']} of {account} was written after a takeover")
        for request in evidence.venue[account].requests if account in evidence.venue else ():
            ask = ask_of(request)
            if ask.kind != "place" or ask.client not in seqs:
                continue
            client, journaled = ask.client, epochs[seqs[ask.client]]
            if journaled and not journaled & owned[account, request["sender"]]:
                found.append(f"J11: {client} of {account} was sent by {request['sender']}, which owns {journaled} not")
    return found


def sent_while_away(evidence: Evidence, bounds: Bounds) -> Found:
    """I12: while the database was away nothing was sent; a request may have been under way when it died."""
    found = []
    for account, venue in evidence.venue.items():
        for request in venue.requests:
            for outage in evidence.outages:
                start = outage.start_ns + int((bounds.max_send_seconds + bounds.arrival_seconds) * SECOND)
                if start < request["at"] < outage.end_ns:
                    late = (request["at"] - outage.start_ns) / SECOND
                    path = request["path"]
                    found.append(f"I12: {path} of {account} was sent {late:.2f} s after the database had gone")
    return found


CHECKS: Mapping[str, Callable[[Evidence, Bounds], Found]] = {
    "false absences": false_absences,
    "stale writes": stale_writes,
    "naked": naked,
    "loosened": loosened,
    "limits": limits,
    "backwards": backwards,
    "alerts": missing_alerts,
    "sent while away": sent_while_away,
}
"""By the column of the soak's table."""

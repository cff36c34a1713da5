"""Invariants of orders, fills and money: I1 to I6, and the fold of the events from zero (I12).

Each function looks at one account and returns sentences, one per violation. `lost`: the venue holds an order of ours
that the journal does not account for. `duplicate`: an intent was executed twice.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tests.acceptance.soak.evidence import Journal, Row, VenueFile
from tests.acceptance.soak.folds import OrderStory, VenueStory, event_story, venue_story
from tests.acceptance.soak.readings import ask_of

OPEN_ENDED = ("new", "sending", "unknown", "replacing", "canceling")
"""States that must not last once the faults have stopped."""
ABSENT = ("not_placed", "rejected", "denied")
CENT = Decimal("0.005")
Found = list[str]


def statuses(journal: Journal) -> dict[int, str]:
    """Return the newest status of each intent, by its transitions."""
    newest: dict[int, str] = {}
    for row in journal.transitions:
        newest[row["seq"]] = row["to_status"]
    return newest


def entries(story: VenueStory) -> list[OrderStory]:
    """Return the entry orders of a venue: those that close no trade."""
    return [order for order in story.orders.values() if order.trade_id is None]


def goal_of(intent: Row) -> str:
    """Return what an intent is for; a decision that is taken anew after NOT_PLACED serves the same goal."""
    return str(intent["intent"].get("tag") or "").rstrip("'")


def lost(venue: VenueFile, journal: Journal) -> Found:
    """I1: every venue order maps to exactly one intent, or is EXTERNAL."""
    found = []
    known = {row["client_order_id"] for row in journal.intents}
    newest = statuses(journal)
    denied = {row["client_order_id"] for row in journal.intents if newest.get(row["seq"]) in ABSENT}
    told: dict[str, str] = {order: row["order_key"] for row in journal.orders for order in row["venue_order_ids"]}
    for order in entries(venue_story(venue.transactions)):
        client = order.client_order_id
        if client is None:
            key = f"venue:{order.order_id}"
            if told.get(order.order_id) != key and not any(row["order_key"] == key for row in journal.orders):
                found.append(f"I1: order {order.order_id} of somebody else is not adopted as EXTERNAL")
        elif client not in known:
            found.append(f"I1: venue order {order.order_id} ({client}) has no intent")
        elif client in denied:
            found.append(f"I1: venue order {order.order_id} ({client}) does not exist for the journal")
        elif told.get(order.order_id) != client:
            found.append(f"I1: the journal's order {client} does not know its venue order {order.order_id}")
    return found + _unasked_closes(venue, journal)


def _unasked_closes(venue: VenueFile, journal: Journal) -> Found:
    """Closes come from journaled attempts, at most one request each."""
    asked = Counter(
        str(row["request"].get("trade_ref") or row["request"].get("trade_id") or _trade_of(journal, row["seq"]))
        for row in journal.attempts
        if row["kind"] == "close"
    )
    made: Counter[str] = Counter()
    for row in venue.requests:
        ask = ask_of(row)
        if ask.kind == "close":
            made[ask.trade] += 1
    return [
        f"I1: trade {trade} was closed by {n} requests and {asked[trade]} attempts are journaled"
        for trade, n in made.items()
        if n > asked[trade]
    ]


def _trade_of(journal: Journal, seq: int) -> str:
    return next((str(row["intent"].get("trade_ref")) for row in journal.intents if row["seq"] == seq), "")


def duplicates(venue: VenueFile, journal: Journal) -> Found:
    """I2: at most one venue order per attempt, at most one executed entry per intent and per goal."""
    found = []
    places = Counter(row["seq"] for row in journal.attempts if row["kind"] == "place")
    seqs = {row["client_order_id"]: row["seq"] for row in journal.intents}
    orders, filled, requests = Counter[str](), Counter[str](), Counter[str]()
    for order in entries(venue_story(venue.transactions)):
        if order.client_order_id is not None and order.replaces is None:
            orders[order.client_order_id] += 1
            filled[order.client_order_id] += order.filled > 0
    for row in venue.requests:
        ask = ask_of(row)
        if ask.kind == "place":
            requests[ask.client] += 1
    for client, n in orders.items():
        attempts = places[seqs.get(client, -1)]
        if n > max(attempts, 1):
            found.append(f"I2: {client} has {n} venue orders and {attempts} attempts")
        if filled[client] > 1:
            found.append(f"I2: {client} was executed {filled[client]} times")
    found += [
        f"I2: {client} was sent {n} times in {places[seqs[client]]} attempts"
        for client, n in requests.items()
        if client in seqs and n > places[seqs[client]] and orders[client] <= places[seqs[client]]
    ]
    return found + _repeated_goals(journal, filled)


def _repeated_goals(journal: Journal, filled: Mapping[str, int]) -> Found:
    done: dict[str, list[str]] = defaultdict(list)
    for row in journal.intents:
        if row["effect"] == "open" and filled[row["client_order_id"]] and goal_of(row):
            done[goal_of(row)].append(row["client_order_id"])
    return [f"I2: goal {goal} was executed by {', '.join(ids)}" for goal, ids in done.items() if len(ids) > 1]


def fill_mismatches(venue: VenueFile, journal: Journal) -> Found:
    """I3 and I4: the journal's fills are the venue's, each once, and add up to its trades."""

    def key(trade: Any, side: int, units: Any, price: Any) -> tuple[Any, ...]:
        return str(trade), int(side), Decimal(units).normalize(), round(float(price), 5)

    at_venue = [t for t in venue.transactions if t["kind"] == "order_filled"]
    theirs = Counter((_fill_id(t), *key(t["trade_id"], t["side"], t["units"], t["price"])) for t in at_venue)
    ours = Counter((r["fill_id"], *key(r["trade_ref"], r["side"], r["units"], r["price"])) for r in journal.fills)
    found = [f"I3: fill {fill} of the venue is missing in the journal" for fill in theirs - ours]
    found += [f"I3: the journal has fill {fill}, which the venue has not" for fill in ours - theirs]
    results = {_fill_id(t): Decimal(t["realized"]) for t in at_venue}
    found += [
        f"I3: fill {r['fill_id']} made {r['realized']} in the journal and {results[r['fill_id']]} at the venue"
        for r in journal.fills
        if abs(r["realized"] - results.get(r["fill_id"], r["realized"])) > CENT
    ]
    units: dict[str, Decimal] = defaultdict(Decimal)
    for row in journal.fills:
        units[row["trade_ref"]] += row["units"] if row["effect"] == "open" else -row["units"]
    trades = {trade_id: t.units for trade_id, t in venue_story(venue.transactions).trades.items()}
    held = {row["trade_ref"]: row["units"] for row in journal.positions}
    for trade_id in sorted(trades.keys() | units.keys() | held.keys()):
        right = trades.get(trade_id, Decimal(0))
        if units.get(trade_id, Decimal(0)) != right:
            found.append(f"I4: fills of trade {trade_id} add up to {units.get(trade_id)}, the venue has {right}")
        if held.get(trade_id, Decimal(0)) != right:
            found.append(f"I4: position {trade_id} is {held.get(trade_id)}, the venue has {right}")
    return found


def _fill_id(transaction: Row) -> str:
    """Return the name of a fill: the number of its transaction, where the venue has no other."""
    return str(transaction.get("fill_id", transaction["seq"]))


def money(venue: VenueFile, journal: Journal) -> Found:
    """I5: balance and equity are the venue's to the cent."""
    if not venue.final or not journal.history:
        return ["I5: there is no final state to compare"]
    last = journal.history[-1]
    return [
        f"I5: {name} is {last[name]} in the journal and {venue.final[name]} at the venue"
        for name in ("balance", "equity")
        if abs(Decimal(last[name]) - Decimal(venue.final[name])) > CENT
    ]


def unresolved(venue: VenueFile, journal: Journal) -> Found:
    """I6: once the faults have stopped no order hangs; the table of orders agrees with the transitions."""
    newest = statuses(journal)
    found = [f"I6: order {seq} is still {status}" for seq, status in newest.items() if status in OPEN_ENDED]
    found += [
        f"I6: order {row['seq']} is {row['status']}, its transitions say {newest.get(row['seq'])}"
        for row in journal.orders
        if row["seq"] is not None and row["status"] != newest.get(row["seq"])
    ]
    resting = set((venue.final or {}).get("orders", ()))
    open_here = {
        order
        for row in journal.orders
        if row["status"] in ("accepted", "partly_filled") and row["effect"] == "open"
        for order in row["venue_order_ids"][-1:]
    }
    found += [f"I6: order {order} rests at the venue, not in the journal" for order in sorted(resting - open_here)]
    found += [f"I6: order {order} rests in the journal, not at the venue" for order in sorted(open_here - resting)]
    return found


def event_fold(venue: VenueFile, journal: Journal) -> Found:
    """I12: every event is stored, the cursor is at the end, and the tables are the fold of the events from zero."""
    stored = [row["seq"] for row in journal.events]
    numbers = set(range(venue.baseline + 1, len(venue.transactions) + 1)) if venue.numbers is None else venue.numbers
    last = max(numbers, default=venue.baseline)
    missing = numbers - set(stored)
    found = [f"I12: {len(missing)} events are missing, the first {min(missing)}"] if missing else []
    found += [f"I12: event {seq} is stored {n} times" for seq, n in Counter(stored).items() if n > 1]
    cursor = max((row["contiguous_seq"] for row in journal.cursors), default=0)
    if cursor != last:
        found.append(f"I12: the cursor is {cursor}, the venue's events end at {last}")
    story = event_story(journal.events)
    fills = {(row["fill_id"], row["leg"]): row for row in journal.fills}
    for k in sorted(story.fills.keys() ^ fills.keys()):
        found.append(f"I12: fill {k} is in only one of events and fills")
    for row in journal.positions:
        if row["units"] != story.open_units.get(row["trade_ref"], Decimal(0)):
            found.append(f"I12: position {row['trade_ref']} is not the fold of the events")
    for row in journal.orders:
        filled = sum((story.filled.get(order, Decimal(0)) for order in row["venue_order_ids"]), Decimal(0))
        if row["effect"] == "open" and row["filled_units"] != filled:
            found.append(f"I12: order {row['order_key']} has filled {row['filled_units']}, its events say {filled}")
    return found


CHECKS: Mapping[str, Callable[[VenueFile, Journal], Found]] = {
    "lost": lost,
    "duplicates": duplicates,
    "fill mismatches": fill_mismatches,
    "money": money,
    "unresolved": unresolved,
    "fold": event_fold,
}
"""By the column of the soak's table."""

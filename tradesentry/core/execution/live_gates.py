"""Vet an order against the state of the world that only a live account has: venue, data age, rates, the book.

What a strategy, its sizing and its own limits decide was vetted by the kernels before; nothing of that is repeated. All
gates look at one `GateView`, which is stored with the intent, so every verdict can be explained later. Order of
evaluation, the first denial wins and is counted:

1. trading state and locks; 2. venue state (journal, reconciled, holes, unresolved orders, blocked instruments, lease,
clock); 3. data age (quote, price drift); 4. rates (submissions, error budget).

Then, inside the transaction that reserves, `vet_book`. A guard that blocks for an hour tells somebody why.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from tradesentry.core.domain.live_account import Amend, Cancel, Enter, Protect, Reduce, Wish
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.error_budget import ErrorBudget, ErrorBudgetSettings
from tradesentry.core.execution.gate_view import BOOK_CODES, GATE_CODES, GateSettings, GateView, Lock, VenueWatch
from tradesentry.core.execution.journal_rows import NS_PER_SECOND, LiveState
from tradesentry.core.execution.live_exposure import AccountShare, BookLimits, EntryRequest, grows, vet_exposure
from tradesentry.core.execution.verdicts import Allowed, Denied, Verdict

__all__ = [
    "BOOK_CODES",
    "GATE_CODES",
    "AccountShare",
    "Alert",
    "Author",
    "BookLimits",
    "EntryRequest",
    "GateSettings",
    "GateView",
    "LiveGates",
    "Lock",
    "VenueWatch",
]

_RANK: Final = {code: rank for rank, code in enumerate(GATE_CODES)}

Alert: TypeAlias = Callable[[str, str], None]
"""Takes a code and a text for people."""
Author: TypeAlias = Literal["strategy", "person", "kill_switch", "protection"]
"""Who wants a change."""


class LiveGates:
    """The gates of one account.

    Args:
        settings: Bounds.
        limits: Of account and book.
        budget: What may go wrong.
        alert: Tells people.
    """

    def __init__(
        self,
        settings: GateSettings | None = None,
        *,
        limits: BookLimits | None = None,
        budget: ErrorBudgetSettings | None = None,
        alert: Alert | None = None,
    ) -> None:
        self.settings, self.limits = settings or GateSettings(), limits or BookLimits()
        self.watch, self.budget = VenueWatch(self.settings), ErrorBudget(budget)
        self.locks: tuple[Lock, ...] = ()
        self.denied: Counter[str] = Counter()
        """All denials, by code."""
        self._alert = alert
        self._sent: dict[str, deque[int]] = {"entry": deque(), "change": deque()}
        self._blocking: dict[tuple[str, str], tuple[int, int, str]] = {}

    def view(
        self,
        *,
        now_ns: int,
        state: LiveState,
        quote: Quote | None,
        pip: float,
        lease_seconds: float,
        app: str = "",
        unresolved: frozenset[str] = frozenset(),
        legs: Mapping[str, Decimal] | None = None,
        held: Mapping[str, Decimal] | None = None,
    ) -> GateView:
        """Return what the gates look at: what the caller knows and what the watch knows. Arguments as `GateView`."""
        watch = self.watch
        return GateView(
            now_ns=now_ns,
            state=state,
            quote=quote,
            pip=pip,
            lease_seconds=lease_seconds,
            app=app,
            unresolved=unresolved,
            legs=legs or {},
            held=held or {},
            is_journal_up=watch.is_journal_up,
            hole_seconds=watch.hole_seconds(now_ns),
            blocked=watch.blocked,
            clock_offset_seconds=watch.clock_offset_seconds(now_ns),
            locks=self.locks,
        )

    def vet_entry(self, wish: Enter, seen: GateView) -> Verdict:
        """Return whether an entry may be sent as far as the venue, the data and the rates go.

        Args:
            wish: The entry.
            seen: What is looked at.
        """
        denied = (
            _state_refuses(seen)
            or _lock_refuses(wish, seen)
            or _venue_refuses(wish, seen, self.settings)
            or _quote_refuses(wish, seen, self.settings)
            or self._rate_refuses("entry", seen)
        )
        self._watch_guards(wish.symbol, denied, seen.now_ns)
        if denied is None:
            return Allowed(wish.units)
        self.denied[denied.code] += 1
        return denied

    def vet_change(self, wish: Wish, seen: GateView, *, author: Author = "strategy") -> Denied | None:
        """Return why a cancel, amendment, reduction or protection must not be sent now, None when it may.

        Args:
            wish: Anything but an entry.
            seen: What is looked at; the quote is not.
            author: Who wants it; a halted account obeys only a person and the kill switch. The protective check may
                close a trade that cannot be given a stop in any state.
        """
        denied = None
        if not seen.is_journal_up:
            denied = Denied("journal_away", "The database does not answer; nothing is sent until it does.")
        elif seen.lease_seconds <= 0:
            denied = Denied("lease_not_alive", "The lease may be another's by now; nothing is changed.")
        elif isinstance(wish, Protect) or (isinstance(wish, Reduce) and author == "protection"):
            return None
        elif seen.state is LiveState.RECONCILING:
            denied = Denied("reconciling", "Only stops are set while the account is compared with the venue. Wait.")
        elif seen.state is LiveState.HALTED and (isinstance(wish, Amend) or author == "strategy"):
            denied = Denied("halted", "A halted account obeys only a person and the kill switch.")
        elif not isinstance(wish, Cancel):
            denied = self._rate_refuses("change", seen) if author == "strategy" else None
        if denied is not None:
            self.denied[denied.code] += 1
        return denied

    def vet_book(
        self, asked: EntryRequest, own: AccountShare, others: Sequence[AccountShare] = (), *, now_ns: int
    ) -> Verdict:
        """Return the units that account and book leave to an entry; call it under the book's lock.

        Args:
            asked: The sized entry.
            own: Its account, with everything it holds.
            others: The other accounts of the book.
            now_ns: When, ns UTC.
        """
        verdict = vet_exposure(asked, own, others, limits=self.limits, now_ns=now_ns)
        if isinstance(verdict, Denied):
            self.denied[verdict.code] += 1
        return verdict

    def note_sent(self, what: Literal["entry", "change"], *, now_ns: int) -> None:
        """Count an order or change that was sent, for the rates."""
        self._sent[what].append(now_ns)

    def _rate_refuses(self, what: Literal["entry", "change"], seen: GateView) -> Denied | None:
        sent = self._sent[what]
        while sent and sent[0] <= seen.now_ns - 60 * NS_PER_SECOND:
            sent.popleft()
        most = self.settings.max_entries_per_minute if what == "entry" else self.settings.max_changes_per_minute
        if len(sent) >= most:
            return Denied("submit_rate", f"{len(sent)} were sent within a minute; the limit is {most}.")
        trouble = self.budget.exceeded(now_ns=seen.now_ns) if what == "entry" else ""
        return Denied("error_budget", f"Too much went wrong: {trouble}. Look at the venue.") if trouble else None

    def _watch_guards(self, symbol: str, denied: Denied | None, now_ns: int) -> None:
        """Remember since when each guard has blocked an instrument; those passed before this denial do not."""
        rank = math.inf if denied is None else _RANK[denied.code]
        for key in [k for k in self._blocking if k[0] == symbol and _RANK[k[1]] < rank]:
            del self._blocking[key]
        if denied is None:
            return
        since, told, _ = self._blocking.get((symbol, denied.code), (now_ns, now_ns, ""))
        self._blocking[symbol, denied.code] = (since, told, denied.text)
        self.check_guards(now_ns=now_ns)

    def check_guards(self, *, now_ns: int) -> None:
        """Alert about each guard that has blocked an instrument for an hour, and again every hour."""
        for (symbol, code), (since, told, text) in tuple(self._blocking.items()):
            if now_ns - told < self.settings.guard_alert_seconds * NS_PER_SECOND:
                continue
            self._blocking[symbol, code] = (since, now_ns, text)
            if self._alert is not None:
                hours = (now_ns - since) / NS_PER_SECOND / 3_600
                what = f"No entry on {symbol} for {hours:.1f} h: {GATE_CODES[code]}. Last: {text}"
                self._alert("guard_blocks", f"{what} Clear the cause, or change the bound if it is wrong.")


def _state_refuses(seen: GateView) -> Denied | None:
    if seen.state is LiveState.HALTED:
        return Denied("halted", "Trading is halted. Find out why, then re-arm the account with its confirmation.")
    if seen.state is LiveState.RECONCILING:
        return Denied("reconciling", "The account is being compared with the venue; entries wait until that is done.")
    if seen.state is LiveState.REDUCING:
        currency = grows(seen.legs, seen.held)
        if currency is not None or not seen.legs:
            what = f"the exposure in {currency}" if currency else "an unknown exposure"
            return Denied("reducing", f"The account is only reduced; this entry would increase {what}.")
    return None


def _lock_refuses(wish: Enter, seen: GateView) -> Denied | None:
    for lock in seen.locks:
        if lock.holds(symbol=wish.symbol, app=seen.app, now_ns=seen.now_ns):
            left = (lock.until_ns - seen.now_ns) / NS_PER_SECOND
            return Denied("locked", f"{lock.text} The lock ({lock.code}) ends in {left:.0f} s.")
    return None


def _venue_refuses(wish: Enter, seen: GateView, bounds: GateSettings) -> Denied | None:
    if not seen.is_journal_up:
        return Denied("journal_away", "The database does not answer; nothing is sent until it does.")
    if seen.hole_seconds > bounds.max_hole_seconds:
        return Denied("event_hole", f"Events of the venue have been missing for {seen.hole_seconds:.1f} s.")
    if wish.symbol in seen.unresolved:
        return Denied("order_unresolved", f"An order on {wish.symbol} has no known outcome; it is resolved first.")
    if wish.symbol in seen.blocked:
        return Denied("instrument_blocked", f"{wish.symbol} is blocked: {seen.blocked[wish.symbol]}")
    if seen.lease_seconds <= 0:
        return Denied("lease_not_alive", "The lease was not renewed in time; another process may own the account.")
    offset = seen.clock_offset_seconds
    if offset is None or not math.isfinite(offset):
        return Denied("clock_unknown", "The venue's clock was not read lately, so the age of a quote is unknown.")
    if abs(offset) > bounds.clock_deny_seconds:
        text = f"The venue's clock is {offset:+.1f} s from ours, more than {bounds.clock_deny_seconds:g} s."
        return Denied("clock_skew", f"{text} Synchronize this machine's clock.")
    return None


def _quote_refuses(wish: Enter, seen: GateView, bounds: GateSettings) -> Denied | None:
    quote, offset = seen.quote, seen.clock_offset_seconds or 0.0
    if quote is None or not (math.isfinite(quote.bid) and math.isfinite(quote.ask) and quote.bid > 0):
        return Denied("no_quote", f"There is no usable quote of {wish.symbol}.")
    here = (seen.now_ns - quote.received_ts_ns) / NS_PER_SECOND
    there = (seen.now_ns - quote.ts_ns) / NS_PER_SECOND + offset
    if max(here, there) > bounds.max_quote_age_seconds:
        text = f"The quote of {wish.symbol} is {max(here, there):.1f} s old, more than {bounds.max_quote_age_seconds:g}"
        return Denied("stale_quote", f"{text} s. Look whether its stream is alive.")
    if there < -bounds.clock_deny_seconds:
        return Denied("clock_skew", f"The quote of {wish.symbol} is {-there:.1f} s ahead of the venue's clock.")
    if not quote.is_tradeable:
        return Denied("not_tradeable", f"The venue does not trade {wish.symbol} now.")
    if quote.ask < quote.bid:
        return Denied("crossed_quote", f"{wish.symbol} is quoted {quote.bid} / {quote.ask}: the bid is above the ask.")
    spread = (quote.ask - quote.bid) / seen.pip
    if bounds.max_spread_pips is not None and spread > bounds.max_spread_pips:
        return Denied("wide_spread", f"The spread of {wish.symbol} is {spread:.1f} pips.")
    if wish.type is OrderType.MARKET and wish.reference_price is not None:
        drift = abs(quote.opening(wish.side) - wish.reference_price) / seen.pip
        if drift > bounds.max_drift_pips:
            text = f"{wish.symbol} moved {drift:.1f} pips since the decision, more than {bounds.max_drift_pips:g}."
            return Denied("price_drift", text)
    return None

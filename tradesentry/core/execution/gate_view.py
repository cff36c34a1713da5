"""What the live gates look at, the words they refuse with, and their bounds.

Separate from the gates, because recovery, polls and streams write what is known about the venue (`VenueWatch`) while
the order manager takes one `GateView` of it for each verdict and stores that with the intent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from tradesentry.core.domain.clock import ClockSample
from tradesentry.core.domain.venue import Quote
from tradesentry.core.execution.journal_rows import NS_PER_SECOND, LiveState, json_value
from tradesentry.core.utils.config_model import FrozenModel

GATE_CODES: Final[Mapping[str, str]] = {
    "halted": "trading is halted until a person re-arms the account",
    "reconciling": "the account is being compared with the venue",
    "reducing": "the entry would increase an exposure while the account is only reduced",
    "locked": "the instrument or strategy is locked after losses",
    "journal_away": "the database does not answer",
    "event_hole": "events of the venue are missing",
    "order_unresolved": "an order on the instrument has no known outcome",
    "instrument_blocked": "the instrument is blocked until it agrees with the venue or a person looked",
    "lease_not_alive": "the right to act for the account is running out",
    "clock_unknown": "the venue's clock was not read lately",
    "clock_skew": "our clock and the venue's differ too much",
    "no_quote": "there is no usable quote",
    "stale_quote": "the quote is too old",
    "not_tradeable": "the venue does not trade the instrument now",
    "crossed_quote": "the bid is above the ask",
    "wide_spread": "the spread is too wide",
    "price_drift": "the price has moved too far since the decision",
    "submit_rate": "too many orders in a minute",
    "error_budget": "too much went wrong lately",
}
"""Codes of `vet_entry` in the order of evaluation, and what they mean. Stable: stored and counted."""
BOOK_CODES: Final[Mapping[str, str]] = {
    "equity_unknown": "the equity of the account is not known",
    "size_below_minimum": "nothing is left to send",
    "open_risk": "the loss at all stops would exceed its limit",
    "currency_net": "the net exposure of a currency would exceed its limit",
    "currency_gross": "the gross exposure of a currency would exceed its limit",
    "leverage": "the notionals would exceed their limit",
    "app_risk": "one strategy would use too much of the open risk",
}


class GateSettings(FrozenModel):
    """Bounds of the live gates."""

    max_quote_age_seconds: float = Field(2.0, gt=0, le=300, description="Oldest quote that an entry may rely on.")
    clock_warn_seconds: float = Field(1.0, gt=0, le=60, description="Clock offset that is reported.")
    clock_deny_seconds: float = Field(5.0, gt=0, le=300, description="Clock offset at which nothing is opened.")
    max_clock_age_seconds: float = Field(
        7_500.0, gt=0, le=86_400, description="Oldest look at the venue's clock; it is read hourly."
    )
    max_drift_pips: float = Field(5.0, gt=0, le=1_000, description="Price move since the decision of a market entry.")
    max_spread_pips: float | None = Field(None, gt=0, le=10_000, description="Widest spread; none: no limit here.")
    max_hole_seconds: float = Field(10.0, gt=0, le=600, description="Age at which a hole in the events blocks entries.")
    max_entries_per_minute: int = Field(600, ge=1, le=100_000, description="Entries that an account may send.")
    max_changes_per_minute: int = Field(1_200, ge=1, le=100_000, description="Changes of orders and targets.")
    guard_alert_seconds: float = Field(
        3_600.0, gt=0, le=604_800, description="A guard that blocks that long tells somebody."
    )


@dataclass(frozen=True, slots=True)
class Lock:
    """A pause of an instrument or strategy."""

    code: str
    until_ns: int
    text: str
    symbol: str = ""
    """Empty: all."""
    app: str = ""
    """Empty: all."""

    def holds(self, *, symbol: str, app: str, now_ns: int) -> bool:
        """Say whether the lock concerns an entry now."""
        return now_ns < self.until_ns and self.symbol in ("", symbol) and self.app in ("", app)


@dataclass(frozen=True, slots=True)
class GateView:
    """Everything that a gate may look at, of one instant."""

    now_ns: int
    state: LiveState
    quote: Quote | None
    pip: float
    lease_seconds: float
    """How long the self-fence stays open."""
    app: str = ""
    unresolved: frozenset[str] = frozenset()
    """Instruments with orders whose outcome is not known."""
    legs: Mapping[str, Decimal] = field(default_factory=dict)
    """Of the entry, signed by currency, account currency."""
    held: Mapping[str, Decimal] = field(default_factory=dict)
    """Net exposure of the account by currency."""
    is_journal_up: bool = True
    hole_seconds: float = 0.0
    """Age of the oldest hole in the events."""
    blocked: Mapping[str, str] = field(default_factory=dict)
    """Why, by instrument."""
    clock_offset_seconds: float | None = 0.0
    """Venue minus us; None: unknown or too old."""
    locks: tuple[Lock, ...] = ()

    def snapshot(self) -> dict[str, Any]:
        """Return the view as JSON, to be stored with the intent."""
        quote = self.quote
        seen = {
            "now_ns": self.now_ns,
            "state": self.state,
            "lease_seconds": self.lease_seconds,
            "legs": self.legs,
            "held": self.held,
            "hole_seconds": self.hole_seconds,
            "clock_offset_seconds": self.clock_offset_seconds,
            "quote": None if quote is None else [quote.bid, quote.ask, quote.ts_ns, quote.received_ts_ns],
        }
        return {name: json_value(value) for name, value in seen.items()}


class VenueWatch:
    """What is known about the connection to a venue, kept up by recovery, polls and streams."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._clock: tuple[ClockSample, int] | None = None
        self._blocks: dict[str, dict[str, str]] = {}
        self._holes: dict[str, int] = {}
        self.is_journal_up = True

    def note_clock(self, sample: ClockSample, *, now_ns: int) -> None:
        """Keep a look at the venue's clock."""
        self._clock = (sample, now_ns)

    def clock_offset_seconds(self, now_ns: int) -> float | None:
        """Return the venue's clock minus ours, None when it was not read lately."""
        if self._clock is None or now_ns - self._clock[1] > self._settings.max_clock_age_seconds * NS_PER_SECOND:
            return None
        return self._clock[0].offset_ns / NS_PER_SECOND

    def hole_seconds(self, now_ns: int) -> float:
        """Return how long events have been missing."""
        return max(0.0, (now_ns - min(self._holes.values(), default=now_ns)) / NS_PER_SECOND)

    def note_hole(self, *, is_open: bool, now_ns: int, found_by: str = "numbers") -> None:
        """Note that events are missing, or that none are any more, as far as one way of looking can tell.

        Args:
            is_open: Whether they are.
            now_ns: When, ns UTC.
            found_by: `numbers` sees a gap below what was heard, `newest` what lies beyond it at the venue.
        """
        if is_open:
            self._holes.setdefault(found_by, now_ns)
        else:
            self._holes.pop(found_by, None)

    def block(self, symbol: str, code: str, text: str) -> bool:
        """Block an instrument for a reason; return whether that is new."""
        reasons = self._blocks.setdefault(symbol, {})
        is_new = code not in reasons
        reasons[code] = text
        return is_new

    def unblock(self, symbol: str, code: str) -> None:
        """Lift one reason; the others stay."""
        reasons = self._blocks.get(symbol, {})
        reasons.pop(code, None)
        if not reasons:
            self._blocks.pop(symbol, None)

    def free_all(self, *, but: str) -> None:
        """Lift every reason for which a person had to look, except one that the venue itself lifts."""
        for symbol in tuple(self._blocks):
            for code in tuple(self._blocks[symbol]):
                if code != but:
                    self.unblock(symbol, code)

    @property
    def blocked(self) -> dict[str, str]:
        """Why instruments are blocked, by symbol."""
        return {symbol: "; ".join(reasons.values()) for symbol, reasons in self._blocks.items()}

"""Judge what an account may do from its equity: daily loss, drawdown, an equity that nobody knows.

Marks are kept in `AccountRecord`, so they survive every restart:

- `high_water_mark` is the highest equity with all payments removed (equity - flows). It never goes back. Drawdown is
  1 - equity / (high_water_mark + flows), so a deposit neither hides a loss nor makes one.
- `day_start_equity` is the equity at the last 17:00 New York plus what was paid in or out since.

Why a state holds is kept in its reason as causes, `code: text | code: text`. A daily loss is lifted at the next 17:00
New York, an unknown equity by a reading, an error budget by a quiet window; everything else only by a person. Re-arming
after a drawdown keeps the mark and notes the equity at which limits begin anew (`rearmed`). What cannot be read counts
as bad.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from pydantic import Field, model_validator

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.execution.error_budget import ErrorBudget
from tradesentry.core.execution.journal_rows import AccountRecord, LiveState
from tradesentry.core.market.sessions import fx_day
from tradesentry.core.utils.config_model import FrozenModel

SEPARATOR: Final = " | "
_CAUSE: Final = re.compile(r"([a-z][a-z0-9_]*): (.*)", re.DOTALL)
REARMED: Final = "rearmed"
RECOVERING: Final = "recovering"
_NOTES: Final = (REARMED, RECOVERING)
"""Parts of a reason that hold no state."""
_HALTS: Final = ("drawdown_halt", "limits_unreadable", "kill_switch", "journal_behind", "venue_halt")
_REDUCES: Final = ("daily_loss", "drawdown", "equity_unknown", "error_budget", "exits_exhausted", "paused")
_SELF_HEALING: Final = ("equity_unknown", "error_budget")
CLEARS_ENTRIES: Final = ("daily_loss", "drawdown", *_HALTS)
"""Causes at which resting entries are taken back, as in a back-test."""


class LimitSettings(FrozenModel):
    """Losses at which an account is reduced or halted, fractions of equity."""

    daily_loss: Decimal = Field(Decimal("0.03"), gt=0, le=1, description="Loss since 17:00 New York: REDUCING.")
    drawdown_warn: Decimal = Field(Decimal("0.05"), gt=0, le=1, description="Fall from the highest equity: alert.")
    drawdown_reduce: Decimal = Field(Decimal("0.10"), gt=0, le=1, description="The same: REDUCING.")
    drawdown_halt: Decimal = Field(Decimal("0.15"), gt=0, le=1, description="The same: HALTED.")
    equity_unknown_seconds: float = Field(30.0, gt=0, le=3_600, description="Equity unknown that long: REDUCING.")
    flatten_on_halt: bool = Field(False, description="Close all trades when halted; else stops stand at the venue.")

    @model_validator(mode="after")
    def _is_ordered(self) -> "LimitSettings":
        if not self.drawdown_warn <= self.drawdown_reduce <= self.drawdown_halt:
            raise ConfigError(
                f"Drawdown limits {self.drawdown_warn}, {self.drawdown_reduce}, {self.drawdown_halt} are not in order. "
                "Set drawdown_warn <= drawdown_reduce <= drawdown_halt."
            )
        return self


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a look at the account came to."""

    record: AccountRecord
    """With new marks and the state that follows from them."""
    new_causes: tuple[str, ...]
    """Codes that were not there before."""
    warning: str = ""
    """For people; empty when there is nothing to say."""


def causes_of(reason: str) -> dict[str, str]:
    """Return the causes that a reason lists; what is no list of causes becomes one named `other`."""
    causes: dict[str, str] = {}
    for part in filter(None, reason.split(SEPARATOR)):
        match = _CAUSE.fullmatch(part)
        if match is None:
            causes["other"] = part
        else:
            causes[match[1]] = match[2]
    return causes


def reason_of(causes: Mapping[str, str]) -> str:
    """Return causes as the reason that is stored."""
    return SEPARATOR.join(f"{code}: {' '.join(text.replace('|', '/').split())}" for code, text in causes.items())


def clears_entries(record: AccountRecord) -> bool:
    """Say whether an account may have no resting entries, as in a back-test after such a loss."""
    return record.state is LiveState.HALTED or any(code in CLEARS_ENTRIES for code in causes_of(record.reason))


def settled_state(record: AccountRecord | None) -> LiveState:
    """Return the state below RECONCILING: the one that an account returns to."""
    if record is None:
        return LiveState.ACTIVE
    if record.state is LiveState.RECONCILING:
        return record.return_state or LiveState.ACTIVE
    return record.state


def high_water(record: AccountRecord) -> Decimal:
    """Return the highest equity in money of today: with everything paid in, without what was paid out."""
    return record.high_water_mark + record.flows


def drawdown(record: AccountRecord) -> Decimal:
    """Return the fall from the highest equity, fraction, flows removed; 0 where the mark is no number above 0."""
    mark = high_water(record)
    return 1 - record.equity / mark if mark.is_finite() and mark > 0 else ZERO


def daily_change(record: AccountRecord) -> Decimal:
    """Return the change since 17:00 New York, fraction of the equity then, flows removed."""
    start = record.day_start_equity
    return (record.equity - start) / start if start.is_finite() and start > 0 else ZERO


def marked(
    record: AccountRecord | None, *, balance: Decimal, equity: Decimal, flows: Decimal, now_ns: int
) -> AccountRecord:
    """Return an account with the marks after a reading.

    Args:
        record: Before; None: the first reading ever.
        balance: Of the reading.
        equity: Of the reading, open loss included.
        flows: Deposits less withdrawals since the start, as of the reading.
        now_ns: When, ns UTC.
    """
    if record is None:
        return AccountRecord(LiveState.ACTIVE, "", balance, equity, equity - flows, equity, now_ns, flows)
    is_new_day = fx_day(now_ns)[1] > fx_day(record.as_of_ns)[1]
    start = record.equity if is_new_day else record.day_start_equity
    return replace(
        record,
        balance=balance,
        equity=equity,
        flows=flows,
        high_water_mark=max(record.high_water_mark, equity - flows),
        day_start_equity=start + flows - record.flows,
        as_of_ns=max(now_ns, record.as_of_ns),
    )


def paid(record: AccountRecord, amount: Decimal) -> AccountRecord:
    """Return an account after a payment of `amount`, negative when paid out: no mark of performance changes."""
    return replace(
        record,
        balance=record.balance + amount,
        equity=record.equity + amount,
        day_start_equity=record.day_start_equity + amount,
        flows=record.flows + amount,
    )


def is_readable(record: AccountRecord) -> bool:
    """Say whether every number that a limit needs is one."""
    numbers = (record.equity, record.balance, record.flows, record.high_water_mark, record.day_start_equity)
    return all(number.is_finite() for number in numbers) and high_water(record) > 0 and record.day_start_equity > 0


def rearmed(record: AccountRecord) -> AccountRecord:
    """Return an account that a person has looked at: no cause is left but a daily loss, limits begin at this equity."""
    before = causes_of(record.reason)
    causes = {code: text for code, text in before.items() if code == "daily_loss"}
    if record.equity - record.flows < record.high_water_mark:
        causes[REARMED] = f"{record.equity - record.flows:f}"
    state = LiveState.REDUCING if "daily_loss" in causes else LiveState.ACTIVE
    if record.state is LiveState.RECONCILING:
        return replace(record, return_state=state, reason=reason_of(causes))
    return replace(record, state=state, reason=reason_of(causes))


class AccountLimits:
    """The limits of one account.

    Args:
        clock: Time; the age of a reading is monotonic, so a corrected clock hides nothing.
        settings: Bounds.
        budget: What went wrong lately.
    """

    def __init__(self, clock: Clock, settings: LimitSettings | None = None, *, budget: ErrorBudget) -> None:
        self.settings = settings or LimitSettings()
        self._clock, self._budget = clock, budget
        self._read_at = clock.monotonic()
        self._has_warned = False

    def judge(
        self, record: AccountRecord | None, reading: AccountState | None, *, flows: Decimal = ZERO
    ) -> Judgment | None:
        """Return the account after a look at it; None when nothing at all is known of it yet.

        Args:
            record: As stored; None: never read.
            reading: What the venue says; None: it could not be read.
            flows: Deposits less withdrawals since the start, as of the reading.
        """
        now_ns, before = self._clock.now_ns(), record
        is_known = reading is not None and reading.equity.is_finite() and reading.balance.is_finite()
        if is_known and reading is not None:
            self._read_at = self._clock.monotonic()
            record = marked(record, balance=reading.balance, equity=reading.equity, flows=flows, now_ns=now_ns)
        if record is None:
            return None
        old = causes_of(record.reason)
        causes = self._causes(before or record, record, old, now_ns)
        state = _state_of(causes, settled_state(record))
        changed = replace(record, reason=reason_of(causes))
        if record.state is LiveState.RECONCILING:
            changed = replace(changed, return_state=state)
        else:
            changed = replace(changed, state=state)
        new = tuple(code for code in causes if code not in old and code not in _NOTES)
        return Judgment(changed, new, self._warning(record, causes))

    def _causes(
        self, before: AccountRecord, record: AccountRecord, old: Mapping[str, str], now_ns: int
    ) -> dict[str, str]:
        """Return the causes that hold now: old ones that still do, and new ones."""
        limits = self.settings
        causes = {code: text for code, text in old.items() if code not in _SELF_HEALING}
        present = settled_state(record)
        if present is not LiveState.ACTIVE and not any(code not in _NOTES for code in old):
            causes["other"] = f"{present.value} without a reason; look at the account, then re-arm it"
        if fx_day(now_ns)[1] > fx_day(before.as_of_ns)[1]:
            causes.pop("daily_loss", None)
        age = self._clock.monotonic() - self._read_at
        if age >= limits.equity_unknown_seconds:
            causes["equity_unknown"] = old.get("equity_unknown") or f"the equity could not be read for {age:.0f} s"
        trouble = self._budget.exceeded(now_ns=now_ns)
        if trouble:
            causes["error_budget"] = old.get("error_budget") or trouble
        if not is_readable(record):
            causes.setdefault("limits_unreadable", "a mark is no number above 0; look at the account, then re-arm it")
            return causes
        change, fall = daily_change(record), _limit_drawdown(record, causes)
        if change <= -limits.daily_loss:
            causes.setdefault("daily_loss", f"{change:.4f} since 17:00 New York, the limit is -{limits.daily_loss}")
        if fall >= limits.drawdown_halt:
            causes.setdefault(
                "drawdown_halt", f"{fall:.4f} below the highest equity, the limit is {limits.drawdown_halt}"
            )
        elif fall >= limits.drawdown_reduce:
            causes.setdefault("drawdown", f"{fall:.4f} below the highest equity, the limit is {limits.drawdown_reduce}")
        return causes

    def _warning(self, record: AccountRecord, causes: Mapping[str, str]) -> str:
        fall = drawdown(record)
        is_deep = fall >= self.settings.drawdown_warn
        is_new, self._has_warned = is_deep and not self._has_warned, is_deep
        if not is_new or any(code in causes for code in ("drawdown", "drawdown_halt")):
            return ""
        return (
            f"Equity {record.equity:.2f} is {fall:.1%} below its highest {high_water(record):.2f}. At "
            f"{self.settings.drawdown_reduce:.0%} nothing new is opened, at {self.settings.drawdown_halt:.0%} trading "
            "is halted."
        )


def _limit_drawdown(record: AccountRecord, causes: dict[str, str]) -> Decimal:
    """Return the drawdown that limits are judged by; after re-arming it begins at the equity of then."""
    note = causes.pop(REARMED, None)
    if note is None:
        return drawdown(record)
    try:
        base = max(Decimal(note), record.equity - record.flows)
    except InvalidOperation:
        return drawdown(record)
    if base >= record.high_water_mark or base + record.flows <= 0:
        return drawdown(record)
    causes[REARMED] = f"{base:f}"
    return 1 - record.equity / (base + record.flows)


def _state_of(causes: Mapping[str, str], present: LiveState) -> LiveState:
    """Return the worst state that a cause asks for; a cause that is not known here keeps the present one."""
    codes = [code for code in causes if code not in _NOTES]
    unknown = any(code not in _HALTS and code not in _REDUCES for code in codes)
    if any(code in _HALTS for code in codes) or (unknown and present is LiveState.HALTED):
        return LiveState.HALTED
    return LiveState.REDUCING if codes else LiveState.ACTIVE

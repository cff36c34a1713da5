"""The balance as a fold: the newest balance that was stated, and every amount after it, in any order of arrival."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tradesentry.core.domain.money import ZERO
from tradesentry.core.execution.order_status import START, EventKey


@dataclass(frozen=True, slots=True)
class MoneyFold:
    """What is known about the balance."""

    key: EventKey = START
    """Newest event that the stated balance contains."""
    stated: Decimal = ZERO
    later: Mapping[EventKey, Decimal] = field(default_factory=dict)
    """Amounts of newer events."""

    @property
    def balance(self) -> Decimal:
        """The balance after everything that was heard."""
        return sum((self.later[key] for key in sorted(self.later)), self.stated)

    def anchored(self, key: EventKey, balance: Decimal) -> "MoneyFold":
        """Return the fold with a balance stated as of `key`; an older one changes nothing."""
        if key < self.key:
            return self
        return MoneyFold(key, balance, {at: amount for at, amount in self.later.items() if at > key})

    def with_event(self, key: EventKey, amount: Decimal, balance: Decimal | None) -> "MoneyFold":
        """Return the fold after an event that moved `amount` and may state the balance afterwards."""
        if balance is not None:
            return self.anchored(key, balance)
        if not amount or key <= self.key:
            return self
        return replace(self, later={**self.later, key: amount})

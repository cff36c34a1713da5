"""What a gate says of a wish: allowed, perhaps smaller, or denied with a reason.

Separate from the gates and from the order manager, because both speak it and neither owns it. A refusal is a value: it
is journaled, counted and shown, never raised.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Allowed:
    """A wish that may go on."""

    units: Decimal
    """At most those asked; fewer where a limit shrinks."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A wish that ends here."""

    code: str
    """Stable, snake case; counted by it."""
    text: str
    """What happened, why (the values), what to do."""


Verdict: TypeAlias = Allowed | Denied

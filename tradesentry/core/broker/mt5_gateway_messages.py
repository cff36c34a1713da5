"""What a gateway's replies mean, and the link to one; the other half of `mt5_gateway`.

Separate from the client, which is about sending. A reply that fits no rule here leaves the command's fate open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tradesentry.core.broker.base_broker import Accepted, Outcome, RefusalClass, Refused, Rounding, Unknown
from tradesentry.core.broker.http_client import Reply
from tradesentry.core.broker.port_json import outcome_from_json
from tradesentry.core.domain.errors import BrokerProtocolError

REFUSALS: Final = {"stale_epoch": RefusalClass.HALT, "unauthorized": RefusalClass.HALT}


@dataclass(frozen=True, slots=True)
class GatewayLink:
    """The account that was linked, and its gateway."""

    url: str
    login: int
    environment: str
    """practice or live."""
    currency: str
    is_hedging: bool
    token: str = field(repr=False)


def outcome_of(reply: Reply, rounded: tuple[Rounding, ...], *, now_ns: int) -> Outcome:
    """Return what a reply to a command means; anything that fits no rule is Unknown.

    Args:
        reply: The reply.
        rounded: What was rounded on this side.
        now_ns: When it came.
    """
    said = dict(reply.body)
    if reply.status == 200:
        try:
            outcome = outcome_from_json(said)
        except BrokerProtocolError:
            return Unknown("unreadable_reply", now_ns)
        if isinstance(outcome, Accepted) and rounded:
            return Accepted(outcome.order, outcome.events, (*rounded, *outcome.rounded))
        return outcome
    if reply.status == 429:
        return Refused("RATE_LIMITED", "Too many requests.", RefusalClass.BACK_OFF)
    if reply.status in (400, 401, 403, 404, 405, 409):
        code = str(said.get("code", f"status_{reply.status}"))
        text = str(said.get("errorMessage", f"The gateway answered {reply.status}."))
        return Refused(code.upper(), text, REFUSALS.get(code, RefusalClass.FINAL))
    return Unknown(f"status_{reply.status}", now_ns)


def need(said: Mapping[str, Any], name: str) -> Any:
    """Return a field that has to be there.

    Raises:
        BrokerProtocolError: It is not.
    """
    if name not in said:
        raise BrokerProtocolError(
            f"The gateway left out {name!r} in {dict(said)!r:.200}. Nothing is concluded from it; check its version."
        )
    return said[name]

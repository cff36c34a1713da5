"""Write the values of the broker port as JSON and read them back, unchanged.

For venues of ours that live behind a wire or in a file: the gateway's messages and the outcome log. Decimals travel as
text, prices as numbers that read back to the same bits, times as integers. Separate from both, so that what was logged
and what was answered are the same words.
"""

from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    EventPage,
    NotSent,
    OrderChange,
    OrderRef,
    OrderReport,
    OrderRequest,
    Outcome,
    Refused,
    TradeRef,
    Unknown,
)
from tradesentry.core.domain.errors import BrokerProtocolError
from tradesentry.core.domain.events import BrokerEvent
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument

T = TypeVar("T")
Json = dict[str, Any]
OUTCOMES: Final[dict[str, type[Any]]] = {
    "accepted": Accepted,
    "refused": Refused,
    "not_sent": NotSent,
    "unknown": Unknown,
}
_NAMES: Final = {kind: name for name, kind in OUTCOMES.items()}
_TYPES: Final[tuple[type[Any], ...]] = (
    *OUTCOMES.values(), AccountState, BrokerEvent, CommandStamp, EventPage, OpenTrade, OrderChange, OrderRef,
    OrderReport, OrderRequest, Position, Quote, TradeRef, VenueInstrument,
)  # fmt: skip
_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {kind: TypeAdapter(kind) for kind in _TYPES}


def to_json(value: object) -> Json:
    """Return a value of the port as a JSON object.

    Args:
        value: An instance of one of the port's dataclasses.
    """
    said: Json = _ADAPTERS[type(value)].dump_python(value, mode="json")
    return said


def from_json(kind: type[T], said: object) -> T:
    """Return the value that a JSON object describes.

    Args:
        kind: The dataclass.
        said: What `to_json` made of it.

    Raises:
        BrokerProtocolError: It does not describe one.
    """
    try:
        value: T = _ADAPTERS[kind].validate_python(said)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise BrokerProtocolError(
            f"No {kind.__name__} can be read from a message: {'.'.join(map(str, problem['loc']))}: {problem['msg']}. "
            "Nothing is concluded from it; check that both sides run the same version."
        ) from None
    return value


def outcome_to_json(outcome: Outcome) -> Json:
    """Return an outcome as a JSON object that names its class under `outcome`."""
    return {"outcome": _NAMES[type(outcome)], **to_json(outcome)}


def outcome_from_json(said: Json) -> Outcome:
    """Return the outcome that a JSON object describes.

    Raises:
        BrokerProtocolError: It does not describe one.
    """
    fields = dict(said)
    kind = OUTCOMES.get(str(fields.pop("outcome", "")))
    if kind is None:
        raise BrokerProtocolError(f"{dict(said)!r:.200} names no outcome. Nothing is concluded from it; reconcile.")
    outcome: Outcome = from_json(kind, fields)
    return outcome

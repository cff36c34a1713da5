"""What crosses the wire between gateway and client arrives as it was sent."""

import json

import pytest

from tests.support.venues import entry
from tradesentry.core.broker.base_broker import Accepted, CommandStamp, NotSent, RefusalClass, Refused, Unknown
from tradesentry.core.broker.port_json import from_json, outcome_from_json, outcome_to_json, to_json
from tradesentry.core.domain.errors import BrokerProtocolError


@pytest.mark.parametrize(
    "outcome", [Accepted(None), Refused("X", "y", RefusalClass.GONE), NotSent("a"), Unknown("b", 7)]
)
def test_outcomes_travel_unchanged(outcome):
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome


def test_what_is_no_outcome_is_not_made_into_one():
    with pytest.raises(BrokerProtocolError, match="names no outcome"):
        outcome_from_json({"outcome": "maybe"})


def test_an_order_travels_unchanged():
    order = entry(1, price=None, take_profit=1.1 + 0.2, stamp=CommandStamp(epoch=3, attempt=2))

    assert from_json(type(order), json.loads(json.dumps(to_json(order)))) == order

"""An intent starts blank, whatever lay in its memory before."""

import math

import numpy as np
import pytest

from tradesentry.core.domain.orders import Action, OrderType, Side, SizeRule
from tradesentry.core.domain.records import INTENT
from tradesentry.core.strategy import intents as write

PRICES = {"price", "stop_loss", "take_profit", "signal_price"}
OURS = {"lane", "seq"}
"""Filled by `decide`."""


def dirty(n=3):
    """Return intents full of the remains of another bar."""
    return np.frombuffer(bytearray(b"\x01" * (n * INTENT.itemsize)), INTENT).view(np.recarray)


def unset(record, prefix=""):
    """Return the names of fields that hold neither zero nor NaN."""
    found = []
    for name in record.dtype.names:
        value = np.asarray(record[name])
        if value.dtype.names:
            found += unset(record[name], f"{prefix}{name}.")
        elif value.dtype.kind == "f" and name in PRICES:
            found += [prefix + name] * (not np.all(np.isnan(value)))
        elif np.any(value != 0):
            found.append(prefix + name)
    return set(found)


def written(call, *arguments):
    intents = dirty()
    before = intents.tobytes()
    n = call(intents, 1, *arguments)

    assert n == 2
    size = INTENT.itemsize
    assert intents.tobytes()[:size] == before[:size]
    assert intents.tobytes()[2 * size :] == before[2 * size :]
    return intents[1]


def test_an_entry_holds_what_was_asked_and_nothing_else():
    stop_buy = (int(OrderType.STOP), 1, 1.1, 1.09, 1.12, 0.005)

    intent = written(write.enter, *stop_buy)

    assert (intent.action, intent.type, intent.side) == (Action.ENTER, OrderType.STOP, Side.BUY)
    assert (intent.price, intent.stop_loss, intent.take_profit) == (1.1, 1.09, 1.12)
    assert (intent.size_rule, intent["size"]) == (SizeRule.RISK, 0.005)
    asked = {"action", "type", "side", "price", "stop_loss", "take_profit", "size"}
    assert unset(intent) - OURS <= asked


def test_a_market_entry_may_have_no_price_and_no_target():
    intent = written(write.enter, int(OrderType.MARKET), -1, math.nan, 1.11, math.nan, 0.01)

    assert intent.type == OrderType.MARKET
    assert math.isnan(intent.price)
    assert math.isnan(intent.take_profit)


def test_a_close_names_its_target_what_remains_and_why():
    intent = written(write.close, 42, 5_000.0, 3)

    assert (intent.action, intent.target_id, intent["size"], intent.reason) == (Action.CLOSE, 42, 5_000.0, 3)
    assert unset(intent) - OURS == {"action", "target_id", "size", "reason"}


def test_a_cancel_names_its_target_only():
    intent = written(write.cancel, 7)

    assert (intent.action, intent.target_id) == (Action.CANCEL, 7)
    assert unset(intent) - OURS == {"action", "target_id"}


def test_a_modify_leaves_the_price_it_does_not_name():
    intent = written(write.modify, 9, 1.095, math.nan)

    assert (intent.action, intent.target_id, intent.stop_loss) == (Action.MODIFY, 9, 1.095)
    assert math.isnan(intent.take_profit)
    assert unset(intent) - OURS == {"action", "target_id", "stop_loss"}


@pytest.mark.parametrize("call", ["enter", "close", "cancel", "modify"])
def test_an_intent_does_not_depend_on_what_was_there_before(call):
    arguments = {
        "enter": (2, 1, 1.1, 1.09, 1.12, 0.005),
        "close": (1, 0.0, 0),
        "cancel": (1,),
        "modify": (1, 1.0, 1.0),
    }[call]
    clean = np.zeros(3, INTENT).view(np.recarray)
    used = dirty()

    getattr(write, call)(clean, 1, *arguments)
    getattr(write, call)(used, 1, *arguments)

    for name in INTENT.names:
        if name not in OURS and name != "exits":
            np.testing.assert_array_equal(clean[1][name], used[1][name])
    for name in INTENT["exits"].names:
        np.testing.assert_array_equal(clean[1]["exits"][name], used[1]["exits"][name])


def test_nothing_is_written_past_the_array_and_the_count_says_that_it_is_full():
    """Five intents into an array of four: the last two share the spare row; what lies behind is untouched.

    Seen to fail: the fifth was written over the memory behind the array.
    """
    memory = dirty(8)
    behind = memory[4:].tobytes()

    n = 0
    for target in range(1, 6):
        n = write.cancel(memory[:4], n, target)

    assert n == 4
    assert memory.target_id[:4].tolist() == [1, 2, 3, 5]
    assert memory[4:].tobytes() == behind

"""The committed table of the `MetaTrader5` package, and the fake made of it, against the official wheel's own.

The wheel's description is not part of the repository: the tests carry the marker `reference` and skip without it.
"""

import inspect
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.terminals import deal, new_terminal
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_prices import RATES, TICKS
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES

pytestmark = pytest.mark.reference
CONTRACT = "contract.json"
RETURNED = {
    "AccountInfo": lambda terminal: terminal.account_info(),
    "TerminalInfo": lambda terminal: terminal.terminal_info(),
    "SymbolInfo": lambda terminal: terminal.symbol_info("EURUSD.m"),
    "Tick": lambda terminal: terminal.symbol_info_tick("EURUSD.m"),
    "OrderCheckResult": lambda terminal: terminal.order_check(deal()),
    "OrderSendResult": lambda terminal: terminal.order_send(deal()),
    "TradeRequest": lambda terminal: terminal.order_send(deal()).request,
    "TradePosition": lambda terminal: terminal.order_send(deal()) and terminal.positions_get()[0],
    "TradeOrder": lambda terminal: terminal.order_send(deal()) and terminal.history_orders_get(0, 2**31)[0],
    "TradeDeal": lambda terminal: terminal.order_send(deal()) and terminal.history_deals_get(0, 2**31)[0],
    "BookInfo": lambda terminal: terminal.market_book_add("EURUSD.m") and terminal.market_book_get("EURUSD.m")[0],
}


@pytest.fixture(scope="module")
def contract():
    folder = Path(os.environ.get("TRADESENTRY_SHARED_REFERENCE") or ROOT.parent / "shared" / "reference") / "mt5"
    path = folder / CONTRACT
    if not path.is_file():
        pytest.skip(f"the wheel's description is not here ({path}); set TRADESENTRY_SHARED_REFERENCE to its folder")
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_constant_is_the_wheels(contract):
    assert dict(mt5.CONSTANTS) == contract["constants"]


def test_every_structure_has_the_wheels_fields_in_its_order(contract):
    assert {name: list(fields) for name, fields in mt5.STRUCTURES.items()} == contract["structs"]


def test_every_function_of_the_wheel_is_there_and_no_other(contract):
    assert set(mt5.FUNCTIONS) == set(contract["functions"])


def test_bars_and_ticks_have_the_wheels_columns(contract):
    assert (list(RATES.names), list(TICKS.names)) == (contract["rates_dtype"], contract["ticks_dtype"])


def test_the_fakes_functions_take_the_arguments_that_the_wheel_documents(contract):
    """Documented as `f(a, [b], [c="X"])`; what stands before the first bracket is taken by position, in that order."""
    terminal = new_terminal(quoted=False)

    for name, help_text in contract["functions"].items():
        inside = re.sub(r"=[^,\])]*", "", help_text.splitlines()[0].partition("(")[2].rpartition(")")[0])
        documented, required = re.findall(r"[a-z_]+", inside), re.findall(r"[a-z_]+", inside.partition("[")[0])
        taken = list(inspect.signature(getattr(terminal, name)).parameters)
        assert set(documented) <= set(taken), (name, documented, taken)
        assert set(taken) - set(documented) <= {"timeout", "portable"}, (name, documented, taken)
        assert taken[: len(required)] == required, (name, documented, taken)


@pytest.mark.parametrize("structure", sorted(RETURNED))
def test_what_the_fake_returns_is_of_the_documented_structure(contract, structure):
    shown = RETURNED[structure](new_terminal(initialized=True))

    assert isinstance(shown, STRUCTURES[structure])
    assert list(shown._fields) == contract["structs"][structure]
    assert all(value is not None and not isinstance(value, np.generic) for value in shown)


def test_every_structure_of_the_wheel_is_returned_by_some_function(contract):
    assert set(RETURNED) == set(contract["structs"])

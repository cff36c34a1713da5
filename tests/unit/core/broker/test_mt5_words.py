"""Every retcode is in exactly the class that the specification gives it; what nobody listed is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker import mt5_words
from tradesentry.core.broker.base_broker import RefusalClass, Refused, Unknown
from tradesentry.core.broker.mt5_words import filling_candidates, meaning_of_error, meaning_of_retcode

CLASSES = {
    "done": (10008, 10009, 10010, 10025),
    "requote": (10004, 10020),
    "back_off": (10018, 10021, 10024, 10029),
    "unknown": (10011, 10012, 10023, 10028, 10031, 10038, 10039),
    "final": (
        10006, 10007, 10041, 10033, 10034, 10040, 10032, 10013, 10014, 10015, 10022, 10035, 10016, 10019, 10030, 10042,
        10043, 10044, 10045, 10046,
    ),
    "halt": (10017, 10026, 10027),
}  # fmt: skip
LISTED = {code for codes in CLASSES.values() for code in codes} | {10036}


def class_of(code, kind="place"):
    outcome = meaning_of_retcode(code, kind, comment="", sent_ts_ns=5)
    if outcome is None:
        return "done"
    return "unknown" if isinstance(outcome, Unknown) else outcome.kind.value


@pytest.mark.parametrize(("name", "codes"), CLASSES.items())
@pytest.mark.parametrize("kind", mt5_words.KINDS)
def test_a_retcode_has_the_class_of_the_table(name, codes, kind):
    assert {code: class_of(code, kind) for code in codes} == dict.fromkeys(codes, name)


def test_every_retcode_of_the_package_is_listed():
    known = {value for name, value in mt5.CONSTANTS.items() if name.startswith("TRADE_RETCODE_")}

    assert known | {10046} == LISTED


def test_a_closed_position_is_what_a_close_wanted_and_the_end_of_anything_else():
    assert class_of(10036, "close") == "done"
    assert {class_of(10036, kind) for kind in ("protect", "cancel", "replace", "place")} == {"gone"}


@given(st.integers(-20_000, 20_000).filter(lambda code: code not in LISTED))
def test_a_code_that_nobody_listed_may_have_been_executed(code):
    assert class_of(code) == "unknown"


@pytest.mark.parametrize(
    ("code", "wanted"),
    [(-2, RefusalClass.FINAL), (-6, RefusalClass.HALT), (-8, RefusalClass.HALT)]
    + [(code, None) for code in (-1, -3, -4, -5, -7, -10000, -10001, -10002, -10003, -10004, -10005, 1, 77)],
)
def test_nothing_returned_is_a_refusal_only_where_the_error_says_so(code, wanted):
    outcome = meaning_of_error(code, "text", sent_ts_ns=5)

    assert outcome.kind is wanted if wanted else outcome == Unknown(f"error_{code}", 5)


def test_the_texts_of_halts_name_the_button():
    outcome = meaning_of_retcode(10027, "place", comment="AutoTrading disabled by client", sent_ts_ns=0)

    assert isinstance(outcome, Refused)
    assert "AutoTrading disabled by client" in outcome.message
    assert "Press `Algo Trading`" in outcome.message


@pytest.mark.parametrize(
    ("mask", "options", "wanted"),
    [
        (3, {}, [mt5.ORDER_FILLING_FOK]),
        (3, {"allow_partial": True}, [mt5.ORDER_FILLING_FOK, mt5.ORDER_FILLING_IOC]),
        (2, {}, []),
        (2, {"allow_partial": True}, [mt5.ORDER_FILLING_IOC]),
        (0, {"is_market_execution": False}, [mt5.ORDER_FILLING_RETURN]),
        (1, {"is_pending": True}, [mt5.ORDER_FILLING_FOK, mt5.ORDER_FILLING_RETURN]),
        (0, {"is_pending": True}, [mt5.ORDER_FILLING_RETURN]),
    ],
)
def test_filling_modes_come_from_the_mask_in_the_order_fok_ioc_return(mask, options, wanted):
    given_ = {"is_market_execution": True, "is_pending": False, "allow_partial": False} | options

    assert list(filling_candidates(mask, **given_)) == wanted

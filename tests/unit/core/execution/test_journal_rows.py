"""What is stored as JSON: anything that a venue says, in a form that PostgreSQL takes."""

import json
import math
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal_rows import json_text, json_value

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text() | st.just("\x00")
OTHER = st.decimals() | st.uuids() | st.sampled_from(Side)
VALUES = st.recursive(PLAIN | OTHER, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner))


@given(value=VALUES)
def test_the_text_is_that_of_the_value_by_whichever_way(value):
    """Seen to fail: without the look for NUL characters, which PostgreSQL refuses."""
    assert json_text(value) == json.dumps(json_value(value), allow_nan=False)


def test_what_json_does_not_know_is_text():
    value = {"d": Decimal("1.10"), "u": UUID(int=1), "n": math.nan, "t": ("a\x00b",), "s": Side.SELL}

    told = json.loads(json_text(value))

    assert told == {"d": "1.10", "u": str(UUID(int=1)), "n": "nan", "t": ["a\ufffdb"], "s": -1}

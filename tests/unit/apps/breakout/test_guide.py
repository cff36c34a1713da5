"""The strategy guide: its parameter table is the model's."""

from pathlib import Path

import pytest

from tradesentry.apps.breakout.guide import parameter_table, with_table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "strategy_guides" / "breakout.md"


def test_parameter_table_of_the_guide_is_the_one_of_the_model():
    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page) == page, "run: python -m tradesentry.apps.breakout.guide docs/strategy_guides/breakout.md"


def test_stale_table_is_noticed():
    page = PAGE.read_text(encoding="utf-8").replace("| `top_k` | 3 |", "| `top_k` | 4 |")

    assert with_table(page) != page
    assert parameter_table() in with_table(page)


def test_page_without_a_table_is_refused():
    with pytest.raises(ValueError, match="no table"):
        with_table("# breakout\n\n## Parameters\n\ntext\n")

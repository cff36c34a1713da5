"""The strategy guide of smclassic: its parameter table is the model's."""

from pathlib import Path

from tradesentry.apps.smclassic.configs.smclassic_config import SMClassicConfig
from tradesentry.core.strategy.guide import with_table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "strategy_guides" / "smclassic.md"


def test_parameter_table_of_the_guide_is_the_one_of_the_model():
    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page, SMClassicConfig) == page, (
        "run: python -m tradesentry.core.strategy.guide smclassic docs/strategy_guides/smclassic.md"
    )

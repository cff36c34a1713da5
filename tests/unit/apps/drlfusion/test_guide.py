"""The strategy guide of drlfusion: its parameter table is the model's, its notice that of the shipped set."""

from pathlib import Path

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.model_package import load_model_set, notice_of
from tradesentry.core.strategy.guide import with_table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "strategy_guides" / "drlfusion.md"


def test_parameter_table_of_the_guide_is_the_one_of_the_model():
    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page, DrlFusionConfig) == page, (
        "run: python -m tradesentry.core.strategy.guide drlfusion docs/strategy_guides/drlfusion.md"
    )


def test_notice_of_the_guide_is_that_of_the_shipped_set():
    assert f"> {notice_of(load_model_set('shipped'))}\n" in PAGE.read_text(encoding="utf-8")

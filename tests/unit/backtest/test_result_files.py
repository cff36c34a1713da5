"""A run folder: complete or absent, readable again, never at the cost of somebody else's files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from polars.testing import assert_frame_equal

from tests.unit.backtest.factories import make_result, realistic_result
from tradesentry.backtest import result_files
from tradesentry.backtest.reporting import page as report_page
from tradesentry.backtest.result import load_result
from tradesentry.core.domain.errors import DataError, UsageError

FILES = {
    *("summary.json", "trades.parquet", "equity.parquet", "rejects.parquet", "events.parquet"),
    *("config.yaml", "data.json", "report.html"),
}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_saved_result_loads_as_it_was(tmp_path):
    result = realistic_result(n_weeks=12, n_trades=40)

    folder = result.save(tmp_path / "runs" / "r1")
    loaded = load_result(folder)

    assert names(folder) == FILES
    assert names(tmp_path / "runs") == {"r1"}
    for table in ("trades", "equity", "rejects", "events"):
        assert_frame_equal(getattr(loaded, table), getattr(result, table))
    for field in ("app", "symbols", "period", "config", "origins", "costs", "provenance", "warnings", "status"):
        assert getattr(loaded, field) == getattr(result, field), field
    assert loaded.summary == result.summary
    assert loaded.bars == {}


def test_a_loaded_result_writes_the_same_figures_without_the_price_chart(tmp_path):
    result = realistic_result(n_weeks=12, n_trades=40)

    page = load_result(result.save(tmp_path / "r1", with_report=False)).report(tmp_path / "again.html")

    assert "The bars are not part of this result" in page.read_text(encoding="utf-8")


def test_the_summary_names_units_and_reasons(tmp_path):
    document = json.loads((make_result().save(tmp_path / "r1") / "summary.json").read_text())

    assert document["metrics"]["mean_r"] is None
    assert document["undefined"]["mean_r"] == "no trades"
    assert document["units"]["total_return"] == "fraction"


def test_the_configuration_shows_where_each_value_came_from():
    config = {
        "levels": 5,
        "name": "a: b # c",
        "exits": {"stop_pips": 20.0, "note": "two\nlines"},
        "empty": {},
        "off": None,
    }
    origins = {"levels": "--set", "exits": "smgrid.yaml", "exits.stop_pips": "model\ndefault"}

    text = result_files.config_yaml(config, origins)

    assert yaml.safe_load(text) == config
    assert "levels: 5  # --set\n" in text
    assert "  stop_pips: 20.0  # model default\n" in text
    assert '  note: "two\\nlines"  # smgrid.yaml\n' in text


def test_origins_may_be_nested_like_the_configuration():
    origins = {"exits": {"stop_pips": "--set"}}

    assert result_files.origin_of(origins, "exits.stop_pips") == "--set"
    assert result_files.origin_of(origins, "exits.other") == ""
    assert result_files.origin_of(origins, "levels") == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_save_leaves_nothing_and_an_earlier_one_untouched(tmp_path, monkeypatch, error):
    """Proven able to fail: writing straight into the folder leaves tables without a summary."""
    first = make_result().save(tmp_path / "r1")
    before = (first / "summary.json").read_bytes()

    def broken(document):
        raise error

    monkeypatch.setattr(report_page, "_body", broken)
    for folder in ("r1", "r2"):
        with pytest.raises(type(error) if isinstance(error, Exception) else error):
            make_result(capital=5.0).save(tmp_path / folder)

    assert names(tmp_path) == {"r1"}
    assert (first / "summary.json").read_bytes() == before


def test_saving_again_replaces_the_result_and_keeps_an_open_log(tmp_path):
    folder = make_result().save(tmp_path / "r1")
    with (folder / "log.jsonl").open("a") as log:
        log.write("first\n")
        log.flush()

        make_result(capital=20_000.0).save(folder)
        log.write("second\n")

    assert load_result(folder).capital == 20_000.0
    assert (folder / "log.jsonl").read_text() == "first\nsecond\n"


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")

    with pytest.raises(UsageError, match=r"already holds cat\.jpg, which is no back-test"):
        make_result().save(tmp_path / "photos")

    assert names(tmp_path / "photos") == {"cat.jpg"}


def test_an_incomplete_or_foreign_folder_is_refused_with_its_reason(tmp_path):
    folder = make_result().save(tmp_path / "r1")
    (folder / "trades.parquet").unlink()

    with pytest.raises(DataError, match="not a complete run folder"):
        load_result(folder)
    with pytest.raises(DataError, match="not a complete run folder"):
        load_result(tmp_path / "missing")


def test_a_folder_of_another_format_says_so(tmp_path):
    folder = make_result().save(tmp_path / "r1")
    text = (folder / "summary.json").read_text()
    (folder / "summary.json").write_text(text.replace('"format": 1', '"format": 99'))

    with pytest.raises(DataError, match="was written in format 99"):
        load_result(folder)


def test_importing_the_result_type_loads_neither_tables_nor_charts():
    code = (
        "import sys, tradesentry.backtest.result; print([m for m in ('polars', 'plotly', 'yaml') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_cost_levels_join_one_result():
    result, free = make_result(), make_result(capital=9_000.0)

    joined = result.with_cost_runs({"0x": free})

    assert list(joined.cost_runs) == ["0x", "1x"]
    assert joined.cost_runs["1x"] == result.summary

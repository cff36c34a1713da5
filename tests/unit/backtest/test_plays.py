"""A sweep is a loop of single runs, bit for bit, wherever it runs; a window sees nothing but itself and its warm-up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.studies import CONFIG, FREE, GRID, HALF_YEAR, bits, tiny_strategy
from tradesentry.backtest import executor as executors
from tradesentry.backtest.evaluation import evaluate
from tradesentry.backtest.executor import Job, chunks_of, new_job, new_runner, play_chunk
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.runner import play
from tradesentry.backtest.studies.outcome import FIGURES
from tradesentry.backtest.studies.stage import WHOLE, Stage, Stages, Window
from tradesentry.backtest.studies.store import Store
from tradesentry.backtest.studies.variants import grid_variants, make_variant
from tradesentry.core.domain.errors import UsageError

DAY_NS = 86_400_000_000_000
SETTINGS = {"source": "synthetic:plain:3", "limits": "off"} | HALF_YEAR


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Stages and variants of the tiny strategy on two markets, with costs."""
    with tiny_strategy(tmp_path_factory.mktemp("tiny")):
        config = CONFIG | {"symbols": ["EURUSD", "USDJPY"]}
        run = resolve_run("tiny", config=config, settings=checked_settings(SETTINGS))
        yield Stages("tiny", run), grid_variants("tiny", run.config, GRID)[0]


def jobs_of(study, window=WHOLE, **more):
    stages, variants = study
    found = []
    for variant in variants:
        key, stage = stages.of(variant.config)
        found.append(new_job(key, stage, variant, window, **more))
    return found


@pytest.fixture(scope="module")
def singles(study):
    """Every variant played on its own, by digest."""
    stages, _ = study
    return play_chunk(stages.all(), jobs_of(study))


def test_the_figures_of_a_play_are_those_of_a_full_evaluation(study):
    stages, variants = study
    for variant in variants[:6]:
        stage = stages.of(variant.config)[1]
        figures = stage.play(variant.config).row()
        values = evaluate(play(stage.with_config(variant.config))).values

        shared = [key for key in FIGURES if key in values]
        assert len(shared) == 9
        assert {key: figures[key] for key in shared} == {key: values[key] for key in shared}


def test_the_trades_of_a_play_are_those_of_a_full_result(study):
    stages, variants = study
    stage = stages.of(variants[0].config)[1]

    own = stage.play(variants[0].config).trades
    full = play(stage.with_config(variants[0].config)).trades.sort("exit_ns", "entry_ns", maintain_order=True)

    assert own["entry_ns"].tolist() == full["entry_ns"].to_list()
    assert own["net"].tolist() == full["net"].to_list()
    assert own["r"].tolist() == full["r_multiple"].to_list()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("chunk_bars", [1, 70_000])
def test_threads_give_what_a_loop_of_single_runs_gives(study, singles, workers, chunk_bars):
    stages, _ = study
    found = {}
    with new_runner("local", workers=workers) as runner:
        for done in runner.run(stages.all(), chunks_of(jobs_of(study), chunk_bars=chunk_bars)):
            found |= done

    assert {digest: bits(outcome) for digest, outcome in found.items()} == {
        digest: bits(outcome) for digest, outcome in singles.items()
    }


def test_plays_that_share_state_would_be_noticed(study, singles, monkeypatch):
    """The planted fault: every play begins with what the one before it left."""
    stages, _ = study
    capital = [10_000.0]
    honest = Stage.play

    def leaky(self, config, window=WHOLE, *, cost_scale=None):
        run = replace(self.run, settings=self.run.settings.model_copy(update={"capital": capital[0]}))
        outcome = honest(Stage(run), config, window, cost_scale=cost_scale)
        capital[0] = max(1_000.0, float(outcome.equity[-1]))
        return outcome

    monkeypatch.setattr(Stage, "play", leaky)
    found = play_chunk(stages.all(), jobs_of(study))

    assert {d: bits(o) for d, o in found.items()} != {d: bits(o) for d, o in singles.items()}


def test_a_stage_travels_without_losing_a_bit(study, singles):
    import pickle

    stages, _ = study
    copies = {key: pickle.loads(pickle.dumps(stage, protocol=5)) for key, stage in stages.all().items()}

    found = play_chunk(copies, jobs_of(study)[:4])

    assert all(bits(outcome) == bits(singles[digest]) for digest, outcome in found.items())
    assert {key: stage.digest for key, stage in copies.items()} == {k: s.digest for k, s in stages.all().items()}


def test_an_executor_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="Known: local, processes, ray, ray://HOST:PORT"):
        new_runner("cloud")
    with pytest.raises(UsageError, match="--workers 0 cannot work"):
        new_runner("local", workers=0)


def test_ray_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)

    with pytest.raises(UsageError, match=r"Install `trade-sentry-ai\[ray\]`"):
        executors._ray()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 50)), max_size=40), st.integers(1, 120))
def test_chunks_hold_every_job_once_in_order_and_one_stage_each(plain, chunk_bars):
    jobs = [Job(str(i), stage, None, WHOLE, None, n_bars) for i, (stage, n_bars) in enumerate(plain)]

    chunks = list(chunks_of(jobs, chunk_bars=chunk_bars))

    assert [job for chunk in chunks for job in chunk] == jobs
    assert all(len({job.stage for job in chunk}) == 1 for chunk in chunks)
    assert all(len(chunk) == 1 or sum(job.n_bars for job in chunk) <= chunk_bars for chunk in chunks)


def test_equal_content_has_one_address_and_any_difference_another(study):
    stages, variants = study
    key, stage = stages.of(variants[0].config)
    plain = new_job(key, stage, variants[0], WHOLE).digest
    again = make_variant("tiny", stage.run.config, variants[0].values)
    richer = Stage(replace(stage.run, settings=stage.run.settings.model_copy(update={"capital": 20_000.0})))
    changed = stage.run.data.series[0].bars.copy()
    changed["close"][100] += 1e-5
    series = (replace(stage.run.data.series[0], bars=changed), *stage.run.data.series[1:])
    other_bars = Stage(replace(stage.run, data=replace(stage.run.data, series=series)))
    markets = stage.run.markets.copy()
    markets["slippage_mean"][0] *= 2
    dearer = Stage(replace(stage.run, markets=markets))

    different = [
        new_job(key, stage, variants[1], WHOLE),
        new_job(key, stage, variants[0], Window(0, 10**18)),
        new_job(key, stage, variants[0], WHOLE, cost_scale=0.0),
        *(new_job(key, other, variants[0], WHOLE) for other in (richer, other_bars, dearer)),
    ]

    assert new_job(key, stage, again, WHOLE).digest == plain
    assert len({plain, *(job.digest for job in different)}) == 7


def test_bytes_between_the_fields_are_not_part_of_an_address(study):
    """Two processes leave different rubbish there: seen to fail when the raw memory of the records is digested."""
    stages, variants = study
    stage = stages.of(variants[0].config)[1]
    markets = stage.run.markets.copy()
    raw = markets["calendar"]["session_bounds"].view(np.ndarray).view(np.uint8).reshape(len(markets), 8, -1, 32)
    raw[..., 25:] = 0x5A

    other = Stage(replace(stage.run, markets=markets))

    assert other.run.markets.tobytes() != stage.run.markets.tobytes()
    assert other.digest == stage.digest


def test_a_window_enters_inside_itself_and_sees_nothing_after_it(study):
    """Seen to fail when the section ends one bar late: the changed future then moves the last outcome."""
    stages, variants = study
    stage = stages.of(variants[0].config)[1]
    first, _ = stage.span
    window = Window(first + 40 * DAY_NS, first + 100 * DAY_NS)
    series = []
    for one in stage.run.data.series:
        bars = one.bars.copy()
        for name in ("open", "high", "low", "close"):
            bars[name][bars["close_ns"] > window.end_ns] *= 1.01
        series.append(replace(one, bars=bars))
    other_future = Stage(replace(stage.run, data=replace(stage.run.data, series=tuple(series))))

    outcome = stage.play(variants[0].config, window)

    assert outcome["n_trades"] > 20
    assert outcome.trades["entry_ns"].min() >= window.start_ns
    assert outcome.trades["exit_ns"].max() <= window.end_ns
    assert bits(other_future.play(variants[0].config, window)) == bits(outcome)
    assert bits(other_future.play(variants[0].config)) != bits(stage.play(variants[0].config))


def test_a_window_warms_up_on_the_bars_before_it():
    """breakout needs weeks of bars before its first entry; a window in the middle of the data has them."""
    settings = checked_settings(
        {"source": "synthetic:plain:3", "limits": "off", "from_": "2022-01-03", "to": "2022-06-01"}
    )
    config = {"symbols": ["EURUSD"], "sessions": ["london"], "modes": ["orb"], "w_lo": None, "w_hi": None}
    stage = Stage(resolve_run("breakout", config=config, settings=settings))
    start = int(np.datetime64("2022-04-04", "ns").astype(np.int64))
    whole = stage.play(stage.run.config)

    outcome = stage.play(stage.run.config, Window(start, start + 28 * DAY_NS))

    later = whole.trades["entry_ns"] >= start
    inside = whole.trades[later & (whole.trades["exit_ns"] <= start + 28 * DAY_NS)]
    assert len(inside) > 5
    assert outcome.trades["entry_ns"].tolist() == inside["entry_ns"].tolist()
    assert outcome.trades["entry_ns"].min() < start + 2 * DAY_NS


def test_a_window_without_a_bar_is_an_empty_outcome(study):
    stages, variants = study
    stage = stages.of(variants[0].config)[1]
    weekend = Window(*(int(np.datetime64(day, "ns").astype(np.int64)) for day in ("2022-03-05", "2022-03-06")))

    outcome = stage.play(variants[0].config, weekend)

    assert outcome["n_trades"] == outcome["net_profit"] == 0
    assert outcome.equity.tolist() == [10_000.0]


def test_what_is_stored_is_read_back_to_the_last_bit(tmp_path, singles):
    store = Store(tmp_path, "stage")
    digests = list(singles)
    store.write({digest: singles[digest] for digest in digests[:5]})
    store.write({digest: singles[digest] for digest in digests[5:]})

    fresh = Store(tmp_path, "stage")
    found = dict(fresh.read([*digests, "unknown"]))

    assert {d: bits(o) for d, o in found.items()} == {d: bits(o) for d, o in singles.items()}
    assert digests[0] in fresh
    assert "unknown" not in fresh
    assert dict(Store(tmp_path, "another stage").read(digests)) == {}


def test_a_damaged_file_costs_work_and_nothing_else(tmp_path, singles):
    store = Store(tmp_path, "stage")
    digest = next(iter(singles))
    store.write({digest: singles[digest]})
    path = next(store.folder.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-200])

    assert dict(Store(tmp_path, "stage").read([digest])) == {}
    assert not list(store.folder.glob(".new-*"))


def test_variants_that_need_another_calendar_or_other_bars_get_their_own_stage():
    settings = checked_settings({"from_": "2022-01-03", "to": "2022-02-01"} | FREE)
    run = resolve_run("breakout", config={"symbols": ["EURUSD", "GBPUSD"]}, settings=settings)
    stages = Stages("breakout", run)
    grid = {"range_window": ("london_00_07", "london_00_08"), "timeframe": ("M15", "M5"), "target": (1.0, 2.0)}
    variants, _ = grid_variants("breakout", run.config, grid)

    keys = [stages.of(variant.config)[0] for variant in variants]
    one_market = stages.of(run.config, ["GBPUSD"])[1]

    assert len(set(keys)) == 4
    assert stages.of(run.config)[1].run is run
    assert one_market.symbols == ("GBPUSD",)
    assert one_market.run.data.series[0].bars is not None
    assert np.shares_memory(one_market.run.data.series[0].bars, run.data.series[1].bars)

"""What training reads: cut in time, fitted on its own part alone, kept whole."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.training import FACTS, TINY, part, tiny_data
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.market_data import fit_constants
from tradesentry.apps.drlfusion.envs.sanity_tasks import task_config
from tradesentry.apps.drlfusion.layout import BARS_NEEDED
from tradesentry.apps.drlfusion.trainers.data_set import DataSet, cut_rows, new_data_set, purge_bars
from tradesentry.apps.drlfusion.trainers.prepare import cut
from tradesentry.apps.drlfusion.trainers.registry import agent_of
from tradesentry.core.domain.errors import ConfigError, DataError


def test_a_saved_data_set_is_read_back_as_it_was(tmp_path):
    data = tiny_data()

    found = DataSet.open(data.save(tmp_path))

    assert (found.hash, found.facts, found.config, found.limits) == (data.hash, data.facts, data.config, data.limits)
    assert np.array_equal(found.constants.obs_scale, data.constants.obs_scale)
    assert found.constants.turbulence_q99 == data.constants.turbulence_q99
    for name in ("train", "validation"):
        ours, theirs = getattr(data, name), getattr(found, name)
        assert theirs.bars.tobytes() == ours.bars.tobytes()
        assert theirs.features.tobytes() == ours.features.tobytes()
        assert theirs.markets["commission_per_unit"].tolist() == ours.markets["commission_per_unit"].tolist()
        assert (theirs.symbols, list(theirs.lengths)) == (ours.symbols, list(ours.lengths))


def test_environments_of_a_saved_data_set_play_as_before(tmp_path):
    data = tiny_data()
    opened = DataSet.open(data.save(tmp_path))

    played = []
    for source in (data, opened):
        train, _ = source.environments(agent_of("ppo"), TINY, seed=3)
        observations = [train.reset(seed=1).copy()]
        rewards = []
        for step in range(20):
            found, paid, *_ = train.step(np.full(train.n_envs, (-1.0) ** step))
            observations.append(found.copy())
            rewards.append(paid)
        played.append((np.stack(observations), np.stack(rewards)))

    assert np.array_equal(played[0][0], played[1][0])
    assert np.array_equal(played[0][1], played[1][1])


def test_a_damaged_data_set_says_what_to_do(tmp_path):
    folder = tiny_data().save(tmp_path)
    (folder / "train_bars.npy").write_bytes(b"nothing")

    with pytest.raises(DataError, match="Delete it, and it is made again"):
        DataSet.open(folder)


def test_normalizer_and_gate_come_from_the_training_part_alone():
    """Seen to fail when the constants are fitted on the validation part."""
    train, judged = part(seed=1), part(seed=2)
    judged.features["market"] *= 100.0
    judged.features["turbulence"] += 50.0

    found = new_data_set(train, judged, config=task_config(), facts=FACTS)

    own = fit_constants(train, 0, int(train.lengths.max()) - 1)
    assert np.array_equal(found.constants.obs_scale, own.obs_scale)
    assert found.constants.turbulence_q90 == own.turbulence_q90


def test_bytes_between_the_fields_do_not_count():
    """Seen to fail when whole records are hashed: a copy leaves what lies between their fields undefined."""
    train, judged = part(seed=1), part(seed=2)
    padded = train.markets.copy()
    plain = np.ascontiguousarray(padded).view(np.ndarray)
    is_field = np.zeros(plain.dtype.itemsize, np.bool_)
    for name in plain.dtype.names:
        dtype, offset = plain.dtype.fields[name][:2]
        is_field[offset : offset + dtype.itemsize] = True
    plain.view(np.uint8).reshape(len(plain), -1)[:, ~is_field] = 170

    found = new_data_set(replace(train, markets=padded), judged, config=task_config(), facts=FACTS)

    assert not is_field.all()
    assert found.hash == new_data_set(train, judged, config=task_config(), facts=FACTS).hash


def test_another_bar_or_setting_is_another_data_set():
    train, judged = part(seed=1), part(seed=2)
    changed = replace(judged, bars=judged.bars.copy())
    changed.bars["close"][0, -1] += 1e-6
    config = task_config()

    hashes = {
        new_data_set(train, judged, config=config, facts=FACTS).hash,
        new_data_set(train, changed, config=config, facts=FACTS).hash,
        new_data_set(train, judged, config=config, facts=FACTS, limits="off").hash,
        new_data_set(train, judged, config=config.model_copy(update={"hysteresis": 0.1}), facts=FACTS).hash,
    }
    same = new_data_set(train, judged, config=config.model_copy(update={"models": "elsewhere"}), facts=FACTS)

    assert len(hashes) == 4
    assert same.hash in hashes


def test_a_part_too_short_for_an_episode_is_refused():
    short = cut_rows(part(), [(0, 0, BARS_NEEDED + 10)])

    with pytest.raises(ConfigError, match="training slice has 411 bars; it needs 64 after 400 bars of warm-up"):
        new_data_set(short, part(), config=task_config(), facts=FACTS)


def test_all_markets_are_cut_at_the_same_moment_with_the_gap_between():
    whole = part(n_bars=1_200)
    gone = cut_rows(whole, [(0, 0, 1_599), (1, 100, 1_599)])

    train, judged = cut(gone, validation_bars=300, gap=50)

    ends = [int(train.bars["close_ns"][row, length - 1]) for row, length in enumerate(train.lengths)]
    begins = [int(judged.bars["open_ns"][row, BARS_NEEDED]) for row in range(2)]
    assert len(set(begins)) == len(set(ends)) == 1
    hours = (begins[0] - ends[0]) / 3_600_000_000_000
    assert hours == 50
    assert list(judged.lengths) == [BARS_NEEDED + 300] * 2
    assert list(train.lengths) == [1_250, 1_150]


def test_a_run_too_short_to_learn_from_is_refused():
    with pytest.raises(DataError, match="nothing to train on before 700 bars of validation"):
        cut(part(), validation_bars=700, gap=240)


def test_the_gap_is_as_long_as_a_position_or_an_advantage_reaches():
    short = DrlFusionConfig(max_hold_bars=10)

    assert purge_bars(DrlFusionConfig(), TINY) == 240
    assert purge_bars(short, TINY.model_copy(update={"gamma": 0.99, "gae_lambda": 1.0})) == math.ceil(
        math.log(0.01) / math.log(0.99)
    )
    assert purge_bars(short, TINY.model_copy(update={"gamma": 0.5, "gae_lambda": 0.5})) == 10


def test_no_episode_touches_a_bar_outside_its_part(tmp_path):
    """Bars after a part are cut off, not hidden: the environment of a part has none to read."""
    data = tiny_data()
    train, validation = data.environments(agent_of("ppo"), TINY, seed=0)

    for environment, bars in ((train, data.train), (validation, data.validation)):
        assert int(environment.last.max()) == int(bars.lengths.max()) - 1
        assert environment.first == 0

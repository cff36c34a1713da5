"""Finished cells: found by content, whole or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.training import TINY, cell, random_policy, tiny_data
from tradesentry.apps.drlfusion.layout import Head
from tradesentry.apps.drlfusion.trainers.base_trainer import RunSeeds, TrainedPolicy, quiet
from tradesentry.apps.drlfusion.trainers.cells import CellStore, train_cells, unfinished


@pytest.fixture(scope="module")
def data():
    return tiny_data()


def test_a_result_is_read_back_as_it_was(tmp_path, data):
    store, one = CellStore(tmp_path / "cells"), cell(tmp_path, data)
    policy = random_policy()

    store.write(one, policy)
    found = store.read(one)

    assert found.digest == policy.digest
    assert (found.looks, found.best, found.metadata) == (policy.looks, policy.best, policy.metadata)
    assert found.head is Head.LOGITS
    assert found.score == pytest.approx(0.09)


def test_a_damaged_or_foreign_result_counts_as_unfinished(tmp_path, data):
    store, one = CellStore(tmp_path / "cells"), cell(tmp_path, data)
    store.write(one, random_policy())
    path = next(store.root.glob("*.safetensors"))
    content = path.read_bytes()

    path.write_bytes(content[:-4] + bytes(4))
    flipped = store.read(one)
    path.write_bytes(content[: len(content) // 2])
    torn = store.read(one)

    assert flipped is None
    assert torn is None
    assert unfinished([one], store) == [one]


def test_whatever_shapes_a_result_is_part_of_its_name(tmp_path, data):
    one = cell(tmp_path, data)
    others = [
        cell(tmp_path, data, algorithm="a2c"),
        cell(tmp_path, data, seed=1),
        cell(tmp_path, data, fold=1),
        cell(tmp_path, data, code="other"),
        cell(tmp_path, data, config=TINY.model_copy(update={"gamma": 0.8})),
        replace(one, data_hash="other"),
    ]

    assert len({one.key, *(other.key for other in others)}) == 7
    assert replace(one, resume=True, tensorboard=tmp_path).key == one.key


def test_finished_cells_are_not_trained_again(tmp_path, data):
    store = CellStore(tmp_path / "cells")
    cells = [cell(tmp_path, data, seed=seed) for seed in (0, 1)]
    for one in cells:
        store.write(one, random_policy(seed=one.seed))

    found = train_cells([*cells, cells[0]], store, progress=quiet)

    assert sorted(found) == sorted(one.key for one in cells)
    assert found[cells[1].key].metadata["seed"] == 1


def test_a_half_written_result_is_never_seen(tmp_path, data, monkeypatch):
    """Seen to fail when the file is written in its place."""
    store, one = CellStore(tmp_path / "cells"), cell(tmp_path, data)

    def no_space(path, content):
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "no space left")

    monkeypatch.setattr("pathlib.Path.write_bytes", no_space)
    with pytest.raises(OSError, match="no space"):
        store.write(one, random_policy())

    assert list(store.root.iterdir()) == []


def test_the_streams_of_a_seed_are_apart_and_the_same_every_time():
    seeds = RunSeeds.of(3)

    assert seeds == RunSeeds.of(3)
    assert len({seeds.environment, seeds.network, seeds.sampler}) == 3
    assert seeds != RunSeeds.of(4)


def test_the_digest_of_a_policy_is_that_of_its_numbers():
    policy = random_policy()
    other = TrainedPolicy(policy.algorithm, policy.head, dict(policy.tensors), policy.looks, 1, {})
    changed = dict(policy.tensors) | {"b1": policy.tensors["b1"] + np.float32(1e-6)}

    assert other.digest == policy.digest
    assert TrainedPolicy(policy.algorithm, policy.head, changed, policy.looks, 0, {}).digest != policy.digest

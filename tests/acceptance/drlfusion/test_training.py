"""Training can be repeated, killed and trusted: same seed, same network; the best checkpoint, not the last."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra [drl] is not installed")

from tests.support.training import TINY, cell, tiny_data
from tradesentry.apps.drlfusion.model_package import load_model_set, read_pt
from tradesentry.apps.drlfusion.trainers import evaluation
from tradesentry.apps.drlfusion.trainers.base_trainer import Look, quiet
from tradesentry.apps.drlfusion.trainers.cells import CellStore, train_cells
from tradesentry.apps.drlfusion.trainers.packaging import package
from tradesentry.apps.drlfusion.trainers.registry import trainer_of
from tradesentry.apps.drlfusion.trainers.training_run import Study, train
from tradesentry.apps.drlfusion.training_config import ALGORITHMS

pytestmark = pytest.mark.drl
ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 120.0
CHILD = """
import sys
from pathlib import Path
from tests.support.training import TINY, tiny_data
from tradesentry.apps.drlfusion.trainers.training_run import Study, train

if __name__ == "__main__":
    config = TINY.model_copy(update={"agents": ("a2c", "ppo"), "budget": float(sys.argv[2])})
    study = Study(tiny_data(), config, Path(sys.argv[1]), "code")
    train(study, processes=int(sys.argv[3]), progress=lambda one: print(one.algorithm, one.step, flush=True))
    print("finished", flush=True)
"""


@pytest.fixture(scope="module")
def data():
    return tiny_data()


def fit(algorithm, data, *, seed, config=TINY, **settings):
    trainer = trainer_of(algorithm, **settings)
    environments = data.environments(trainer.agent, config, seed=seed)
    return trainer.fit(*environments, config=config, seed=seed, progress=quiet)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_network_and_another_seed_another(algorithm, data):
    first, again, other = (fit(algorithm, data, seed=seed) for seed in (3, 3, 4))

    assert again.digest == first.digest
    assert again.looks == first.looks
    assert again.document() == first.document()
    assert other.digest != first.digest


def test_a_late_collapse_does_not_reach_the_model(data, monkeypatch):
    """The network before a collapse is kept, with the look that chose it."""
    seen = []
    real = evaluation.evaluate

    def collapsing(validation, decide, *, step):
        look = real(validation, decide, step=step)
        seen.append(look)
        # What a collapse looks like: the second look is the best, all later ones are worse.
        return Look(step, 1.0 if len(seen) == 2 else -float(len(seen)), 0.0, look.turnover, look.exposure)

    monkeypatch.setattr("tradesentry.apps.drlfusion.trainers.callbacks.evaluate", collapsing)
    found = fit("a2c", data, seed=1)

    assert len(found.looks) == TINY.evaluations
    assert found.best == 1
    monkeypatch.undo()
    _, validation = data.environments(trainer_of("a2c").agent, TINY, seed=1)
    again = evaluation.evaluate(
        validation, evaluation.decisions_of(found.tensors, found.head, temperature=1e-3), step=found.looks[1].step
    )
    assert again == seen[1]
    assert again != seen[-1]


def test_a_set_of_four_is_packaged_alike_twice_and_loads(data, tmp_path):
    study = Study(data, TINY, tmp_path / "work", "code")
    trained = train(study, progress=quiet)

    first = package(trained, tmp_path / "first")
    second = package(train(study, progress=quiet), tmp_path / "second")

    assert (tmp_path / "first" / "SHA256SUMS").read_bytes() == (tmp_path / "second" / "SHA256SUMS").read_bytes()
    assert load_model_set(str(first.folder)).digest == second.digest
    for model in first.models:
        twin = read_pt(first.folder / f"{model.algorithm}_model.pt")
        assert twin.text == model.text
        assert all(np.array_equal(twin.tensors[name], values) for name, values in model.tensors.items())
        assert model.meta["notice"].startswith("Trained on generated prices with a pattern we planted.")
        assert model.meta["data"]["hash"] == data.hash
        assert not {"seconds", "date", "folder"} & set(model.meta)


def test_an_interrupted_cell_that_goes_on_says_that_it_is_not_exact(data, tmp_path):
    checkpoint = tmp_path / "cell.checkpoint"

    def interrupt(progress):
        if math.isfinite(progress.best):
            raise KeyboardInterrupt

    trainer = trainer_of("a2c", checkpoint=checkpoint)
    environments = data.environments(trainer.agent, TINY, seed=2)
    config = TINY.model_copy(update={"budget": 2.0})
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*environments, config=config, seed=2, progress=interrupt)
    assert checkpoint.is_file()

    found = fit("a2c", data, seed=2, config=config, checkpoint=checkpoint, resume=True)

    assert found.metadata["inexact_resume"] is True
    assert found.metadata["steps"] >= config.steps_of("a2c")
    assert not checkpoint.exists()


def start(folder, *, budget, processes):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(budget), str(processes)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
    )  # fmt: skip


def test_a_killed_study_goes_on_at_the_first_unfinished_cell_to_the_same_end(data, tmp_path):
    """Kill it while the second cell trains; the first is found finished, and both are what one go would have given."""
    config = TINY.model_copy(update={"agents": ("a2c", "ppo"), "budget": 4.0})
    with start(tmp_path / "killed", budget=4.0, processes=1) as child:
        for line in child.stdout:
            if line.startswith("ppo"):
                child.send_signal(signal.SIGKILL)
                break
    store = CellStore(tmp_path / "killed" / "cells")
    cells = [cell(tmp_path / "other", data, algorithm=name, config=config) for name in ("a2c", "ppo")]
    before = [store.read(one) for one in cells]

    resumed = train_cells(cells, store, progress=quiet)
    whole = train_cells(cells, CellStore(tmp_path / "whole"), progress=quiet)

    assert before[0] is not None
    assert before[1] is None
    assert [resumed[one.key].document() for one in cells] == [whole[one.key].document() for one in cells]
    assert [resumed[one.key].digest for one in cells] == [whole[one.key].digest for one in cells]
    assert not [path for path in store.root.iterdir() if path.suffix != ".safetensors"]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_processes_that_train_end_with_their_parent(tmp_path):
    with start(tmp_path, budget=500.0, processes=2) as child:
        child.stdout.readline()
        workers = children_of(child.pid)
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if is_running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)

    assert len(workers) >= 2
    assert left == []

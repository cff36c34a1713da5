"""Model sets: what is written is what is read, and everything that does not fit is refused with its reason."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.apps.drlfusion.factories import (
    fading_set,
    hand_made,
    model_of,
    models_of,
    observations,
    random_network,
)
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.layout import AGENTS, PARAMS, Head
from tradesentry.apps.drlfusion.model_file import MAX_BYTES, META, TENSORS, Model, read_pt, read_safetensors
from tradesentry.apps.drlfusion.model_package import (
    agent_shares,
    fill_from,
    load_model_set,
    models_folder,
    notice_of,
    verify_model,
    write_model_set,
)
from tradesentry.core.domain.errors import ModelRefused
from tradesentry.core.utils.kernel import new_records, plain_record

torch = pytest.importorskip("torch", reason="the .pt half of a package needs the extra [drl]")
pytestmark = pytest.mark.drl


@pytest.fixture(scope="module")
def networks():
    return {name: random_network(i) for i, name in enumerate(AGENTS)}


@pytest.fixture
def folder(tmp_path, networks):
    write_model_set(tmp_path / "set", models_of(networks))
    return tmp_path / "set"


def renew_sums(folder: Path) -> None:
    """Make the checksums fit the files as they are."""
    names = sorted(p.name for p in folder.iterdir() if p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def rewrite(folder: Path, algorithm: str, change) -> None:
    """Change a model of a set and make the checksums fit, as whoever tampers with it would."""
    from safetensors.numpy import save

    path = folder / f"{algorithm}_model.safetensors"
    model = read_safetensors(path)
    tensors, meta = {k: v.copy() for k, v in model.tensors.items()}, json.loads(model.text)
    change(tensors, meta)
    path.write_bytes(save(tensors, {META: json.dumps(meta)}))
    renew_sums(folder)


def test_package_holds_the_same_arrays_and_text_in_both_files(folder):
    for name in AGENTS:
        a, b = read_pt(folder / f"{name}_model.pt"), read_safetensors(folder / f"{name}_model.safetensors")

        assert a.text == b.text
        assert set(a.tensors) == set(b.tensors) == set(TENSORS)
        assert all(a.tensors[key].tobytes() == b.tensors[key].tobytes() for key in TENSORS)
        assert all(a.tensors[key].dtype == b.tensors[key].dtype for key in TENSORS)


def test_package_written_twice_has_the_same_bytes(folder, tmp_path, networks):
    """Seen to fail: with several keys among the metadata, whose order changes from process to process."""
    write_model_set(tmp_path / "other", models_of(networks))
    first = {p.name: p.read_bytes() for p in folder.iterdir()}

    assert {p.name: p.read_bytes() for p in (tmp_path / "other").iterdir()} == first
    assert max(len(content) for content in first.values()) <= MAX_BYTES
    assert len(first) == 9


def test_package_fills_the_parameters_of_a_run(folder, networks):
    params = new_records(1, PARAMS)
    fill_from(load_model_set(str(folder), timeframe="H1"), plain_record(params))

    for agent, name in enumerate(AGENTS):
        assert all((params[key][0, agent] == values).all() for key, values in networks[name].items())
    assert (float(params.turbulence_q90[0]), float(params.turbulence_q99[0])) == (6.0, 15.0)
    assert params.day_table[0].tolist()[24] == pytest.approx([1.0, 0.0], abs=1e-12)


def test_package_is_loaded_without_a_learning_library(folder):
    """D6: what runs never imports torch or gymnasium, whether or not they are installed."""
    code = (
        "import sys; from tradesentry.apps.drlfusion.model_package import load_model_set;"
        f"load_model_set({str(folder)!r}, timeframe='H1');"
        "print([m for m in ('torch', 'gymnasium', 'onnxruntime', 'stable_baselines3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_package_of_another_timeframe_is_refused(folder):
    with pytest.raises(
        ModelRefused, match=r"ppo_model\.safetensors.*trained on H1 and the run is on M15.*timeframe=H1"
    ):
        load_model_set(str(folder), timeframe="M15")


def test_package_with_a_changed_file_is_refused(folder):
    path = folder / "sac_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ModelRefused, match=r"sac_model\.safetensors.*checksum.*Take the set again"):
        load_model_set(str(folder))


def test_package_whose_weights_were_changed_together_with_the_sums_fails_its_golden_outputs(folder):
    """One last bit of one weight is enough. Seen to fail: with golden outputs not compared."""

    def change(tensors, _meta):
        row = np.argmax(np.abs(tensors["w1"][:, 0]))
        tensors["w1"][row, 0] = np.nextafter(tensors["w1"][row, 0], np.float32(9))
        tensors["w1"][:, 1:] = np.nextafter(tensors["w1"][:, 1:], np.float32(9))

    rewrite(folder, "dqn", change)
    with pytest.raises(ModelRefused, match=r"dqn_model.*golden outputs are not reproduced to the bit"):
        load_model_set(str(folder))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t, m: m.update(format="other/2"), "format is 'other/2'"),
        (lambda t, m: m["schema"].update(hash="0" * 64), "schema 000000000000"),
        (lambda t, m: m["action"].update(levels=[-1, 0, 1]), r"levels are \[-1, 0, 1\]"),
        (lambda t, m: m["action"].update(head="magic"), "head 'magic' is not known"),
        (lambda t, m: m.pop("gate"), "metadata lacks gate"),
        (lambda t, m: m.update(algorithm="sac"), "a model of sac and its name says a2c"),
        (lambda t, m: t.update(w1=t["w1"].T.copy()), r"w1 is float32 of shape \(64, 28\)"),
        (lambda t, m: t.update(w1=t["w1"].astype(np.float64)), "w1 is float64"),
        (lambda t, m: t["b2"].__setitem__(3, np.nan), "b2 holds a number that is not finite"),
        (lambda t, m: t["obs_scale"].__setitem__(0, 0.0), "obs_scale holds a number that is not positive"),
        (lambda t, m: t.update(more=t["b1"]), "arrays differ from those of a model: more"),
    ],
)
def test_package_that_does_not_fit_is_refused_with_file_reason_and_remedy(folder, change, reason):
    rewrite(folder, "a2c", change)

    with pytest.raises(ModelRefused, match=rf"a2c_model\.safetensors is refused: .*{reason}.*\. \S+") as caught:
        load_model_set(str(folder))
    assert (caught.value.code, caught.value.exit_code) == ("model_refused", 3)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"normalizer": {"obs_mean": np.full(28, 0.5), "obs_scale": np.ones(28)}}, "obs_mean"),
        ({"gate": {"turbulence_q90": 1.0, "turbulence_q99": 2.0}}, "gate"),
        ({"timeframe": "H4"}, "timeframe"),
    ],
)
def test_package_of_models_that_were_not_trained_together_is_refused(tmp_path, networks, changes, what):
    models = models_of(networks)
    models[2] = model_of(AGENTS[2], networks[AGENTS[2]], **changes)

    with pytest.raises(ModelRefused, match=rf"its {what} differs from that of ppo: the models were not trained"):
        write_model_set(tmp_path / "mixed", models)
    assert not (tmp_path / "mixed").exists()


def test_package_is_four_models_and_nothing_else(folder, tmp_path, networks):
    with pytest.raises(ModelRefused, match="a set has one model of each"):
        write_model_set(tmp_path / "three", models_of(networks)[:3])
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ModelRefused, match=r"holds more than a set: notes\.txt"):
        load_model_set(str(folder))
    (folder / "notes.txt").unlink()
    (folder / "ppo_model.pt").unlink()
    with pytest.raises(ModelRefused, match=r"ppo_model\.pt is refused: it does not exist"):
        load_model_set(str(folder))


def test_package_that_is_not_there_is_refused():
    with pytest.raises(ModelRefused, match="there is no such folder"):
        load_model_set("/nowhere/at/all")


class Intruder:
    """What loading a pickle would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("is_plain", [True, False])
def test_package_with_a_planted_pickle_is_refused_and_nothing_of_it_runs(tmp_path, is_plain):
    """Seen to fail: with `weights_only=False`, which makes the file."""
    mark, path = tmp_path / "ran", tmp_path / "ppo_model.pt"
    if is_plain:
        path.write_bytes(pickle.dumps(Intruder(mark)))
    else:
        torch.save({"format": "tradesentry.model/1", META: "{}", "tensors": Intruder(mark)}, path)

    with pytest.raises(ModelRefused, match="holds more than arrays and text.*Nothing in it was run"):
        read_pt(path)
    assert not mark.exists()


def test_package_says_whose_it_is(tmp_path, networks):
    models = models_of(networks, notice="Made for a test.")
    found = write_model_set(tmp_path / "set", models)

    assert notice_of(found) == "Made for a test."
    assert found.digest != fading_set(tmp_path / "other").digest


def test_package_gives_every_head_its_temperature(tmp_path):
    """A softmax of action values at another temperature is another model."""
    seen = observations()
    warm, cold = (agent_shares(random_network(1), Head.VALUES, t, seen) for t in (5.0, 0.1))

    assert warm.max(axis=1).mean() < cold.max(axis=1).mean()


def test_package_that_is_used_twice_is_read_once_until_a_file_changes(folder):
    first = load_model_set(str(folder))

    assert load_model_set(str(folder)) is first
    rewrite(folder, "ppo", lambda t, m: m.update(notice="changed"))
    assert notice_of(load_model_set(str(folder))) == "changed"


def test_shipped_means_the_folder_of_the_app():
    assert models_folder("shipped").parts[-2:] == ("drlfusion", "models")
    assert DrlFusionConfig().models == "shipped"


def test_a_model_is_verified_before_it_is_written(tmp_path):
    network = hand_made({"band_z": -1.0})
    network["w2"][0, 0] = np.inf
    model = model_of("ppo", hand_made({"band_z": -1.0}))
    broken = Model({**model.tensors, "w2": network["w2"]}, model.meta)

    with pytest.raises(ModelRefused, match="w2 holds a number that is not finite"):
        verify_model(tmp_path / "ppo_model.safetensors", broken, algorithm="ppo")

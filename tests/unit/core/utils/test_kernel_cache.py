"""The folders of compiled kernels: those in use stay, those that nobody used for a month go."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradesentry.core.utils.kernel import IS_COMPILED, source_digest
from tradesentry.core.utils.kernel_cache import PACKAGE, UNUSED_DAYS, cache_root, prune_cache

DAY = 86_400.0
OLD, YOUNG = "0" * 24, "f" * 24
KERNELS = "import tradesentry.core.strategy.indicators.averages, tradesentry.core.strategy.indicators.volatility"


def folder(root: Path, name: str, *, unused_days: float) -> Path:
    """A cache folder with a compiled file, last used so many days ago."""
    made = root / name
    (made / "module_1").mkdir(parents=True)
    (made / "module_1" / "step.nbc").write_bytes(b"code")
    age(made, days=unused_days)
    return made


def age(path: Path, *, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_a_folder_unused_for_a_month_is_removed_and_a_used_one_stays(tmp_path):
    old = folder(tmp_path, OLD, unused_days=UNUSED_DAYS + 1)
    young = folder(tmp_path, YOUNG, unused_days=UNUSED_DAYS - 1)

    n_removed = prune_cache(tmp_path)

    assert n_removed == 1
    assert not old.exists()
    assert (young / "module_1" / "step.nbc").read_bytes() == b"code"
    assert [path.name for path in tmp_path.iterdir()] == [YOUNG]


def test_what_is_not_named_like_a_digest_is_left_alone(tmp_path):
    names = ["notes", "0" * 23, "0" * 24 + "x", OLD.replace("0", "g")]
    for name in names:
        folder(tmp_path, name, unused_days=400)

    assert prune_cache(tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_the_leftovers_of_a_killed_removal_are_removed_later(tmp_path):
    folder(tmp_path, f"{OLD}.stale-12", unused_days=UNUSED_DAYS + 1)

    prune_cache(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_takes_into_use_meanwhile_is_given_back(tmp_path, monkeypatch):
    """Without the second look after the rename, the folder is gone."""
    old = folder(tmp_path, OLD, unused_days=UNUSED_DAYS + 1)
    rename = Path.rename

    def used_just_before(path: Path, target: Path) -> Path:
        if path == old:
            os.utime(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", used_just_before)

    assert prune_cache(tmp_path) == 0
    assert (old / "module_1" / "step.nbc").read_bytes() == b"code"


def test_two_processes_remove_each_folder_once(tmp_path):
    for number in range(200):
        folder(tmp_path, f"{number:024x}", unused_days=UNUSED_DAYS + 1)
    program = (
        "import sys; from pathlib import Path; from tradesentry.core.utils.kernel_cache import prune_cache;"
        "sys.stdin.readline(); print(prune_cache(Path(sys.argv[1])))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]

    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    counts = [int(racer.communicate(timeout=60)[0]) for racer in racers]

    assert sum(counts) == 200
    assert list(tmp_path.iterdir()) == []


def start(cache: Path) -> None:
    """Import modules of kernels in a new process."""
    environment = {**os.environ, "TRADESENTRY_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, "-c", KERNELS], env=environment, check=True)


@pytest.mark.skipif(not IS_COMPILED, reason="NUMBA_DISABLE_JIT=1 compiles nothing")
def test_a_process_renews_what_it_uses_and_prunes_at_its_end_once_a_day(tmp_path, monkeypatch):
    """Pruning at the first kernel instead of the end takes the second module's folder away before it is used."""
    monkeypatch.setenv("TRADESENTRY_CACHE_DIR", str(tmp_path))
    files = [PACKAGE / "core/strategy/indicators" / name for name in ("averages.py", "volatility.py")]
    used = [folder(cache_root(), source_digest(file), unused_days=90) for file in files]
    stale = cache_root() / OLD

    folder(cache_root(), OLD, unused_days=90)
    start(tmp_path)
    is_gone = not stale.exists()
    folder(cache_root(), OLD, unused_days=90)
    start(tmp_path)
    stays_that_day = stale.exists()
    age(cache_root() / "pruned", days=1.1)
    start(tmp_path)

    assert all((path / "module_1" / "step.nbc").exists() for path in used)
    assert all(time.time() - path.stat().st_mtime < DAY for path in used)
    assert (is_gone, stays_that_day, stale.exists()) == (True, True, False)

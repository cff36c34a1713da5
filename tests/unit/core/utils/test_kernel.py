"""Kernels: a changed callee is noticed, saved bytes of another layout are refused, one loop calls many steps."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.core.domain.errors import StateMismatch
from tradesentry.core.utils import kernel_cache
from tradesentry.core.utils.kernel import (
    IS_COMPILED,
    layout,
    layout_digest,
    load_records,
    new_records,
    save_records,
    source_digest,
)
from tradesentry.core.utils.kernel_cache import PACKAGE

EXITS = np.dtype([("stop", "f8"), ("is_on", "b1")], align=True)
STATE = np.dtype([("n_bars", "i8"), ("fast", "f8"), ("exits", EXITS, (2,)), ("levels", "f8", (3,))], align=True)

CALLEE = '''"""A kernel that another file calls."""
from tradesentry.core.utils.kernel import kernel

@kernel
def callee(x):
    return x + 1
'''
CALLER = '''"""A kernel that calls one in another file."""
from tradesentry.core.market.callee import callee
from tradesentry.core.utils.kernel import kernel

@kernel
def caller(x):
    return 10 * callee(x)
'''
PLAIN_CALLEE = """import numba

@numba.njit(cache=True)
def callee(x):
    return x + 1
"""
PLAIN_CALLER = """import numba
from plain_callee import callee

@numba.njit(cache=True)
def caller(x):
    return 10 * callee(x)
"""
PROGRAM = """
import numba
numba.config.CACHE_DIR = ""
import plain_caller
plain = plain_caller.caller(1)
from tradesentry.core.market.caller import caller
from tradesentry.core.market import caller as module
from tradesentry.core.utils.kernel import source_digest
from pathlib import Path
print(caller(1), plain, source_digest(Path(module.__file__)))
"""


@pytest.fixture
def copied_package(tmp_path: Path) -> Path:
    """A copy of the package with a kernel that calls one in another file, and the same pair in plain Numba beside."""
    folder = tmp_path / "copy"
    shutil.copytree(PACKAGE, folder / "tradesentry", ignore=shutil.ignore_patterns("__pycache__"))
    # The root's own imports are not the subject and take their time.
    (folder / "tradesentry" / "__init__.py").write_text('"""A copy."""\n', encoding="utf-8")
    for name in ("core", "core/market"):
        (folder / "tradesentry" / name / "__init__.py").write_text('"""A copy."""\n', encoding="utf-8")
    (folder / "tradesentry/core/market/callee.py").write_text(CALLEE, encoding="utf-8")
    (folder / "tradesentry/core/market/caller.py").write_text(CALLER, encoding="utf-8")
    (folder / "plain_callee.py").write_text(PLAIN_CALLEE, encoding="utf-8")
    (folder / "plain_caller.py").write_text(PLAIN_CALLER, encoding="utf-8")
    return folder


def run(folder: Path, program: str, **environment: str) -> list[str]:
    """Run `program` in a new process that sees the copy, and return the words it printed."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TRADESENTRY_CACHE_DIR": str(folder / "cache"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.skipif(not IS_COMPILED, reason="NUMBA_DISABLE_JIT=1 compiles nothing")
def test_edited_callee_in_another_file_takes_effect_in_a_new_process_and_nothing_else_compiles(copied_package):
    """Plain Numba, run beside it, goes on with the old code: the reason why kernels have a cache folder per digest."""

    def compiled_files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (copied_package / "cache").rglob("*.nb?")}

    before = run(copied_package, PROGRAM)
    files = compiled_files()
    again = run(copied_package, PROGRAM)
    files_again = compiled_files()
    for path in ("tradesentry/core/market/callee.py", "plain_callee.py"):
        edit(copied_package / path, "x + 1", "x + 2")

    after = run(copied_package, PROGRAM)

    assert before[:2] == ["20", "20"]
    assert again == before
    assert files
    assert files_again == files
    assert after[:2] == ["30", "20"]
    assert after[2] != before[2]


POINTER = """
import numpy as np
from numba import types
from tradesentry.core.market.caller import caller, apply
from tradesentry.core.utils.kernel import function_pointer
signature = types.int64(types.int64)
print(apply(function_pointer(caller, exact=signature, general=signature), 1))
"""
APPLY = """
@kernel
def apply(function, x):
    return function(x)
"""


@pytest.mark.skipif(not IS_COMPILED, reason="NUMBA_DISABLE_JIT=1 compiles nothing")
def test_a_new_process_passes_a_function_to_a_kernel_that_lies_in_the_cache(copied_package):
    """Seen to fail while only Numba's preparations for compiling, which the cache spares, told it what a pointer is."""
    path = copied_package / "tradesentry/core/market/caller.py"
    path.write_text(CALLER + APPLY, encoding="utf-8")

    first = run(copied_package, POINTER)
    second = run(copied_package, POINTER)

    assert first == second == ["20"]


def test_digest_follows_what_a_module_imports_and_nothing_else(copied_package):
    program = """
from tradesentry.core.utils import kernel_cache
from tradesentry.core.utils.kernel import source_digest
from tradesentry.core.utils.kernel_cache import PACKAGE
engine = PACKAGE / "backtest" / "engine.py"
print(source_digest(engine))
edited = ["utils/logger.py", "domain/errors.py", "domain/records.py", "execution/settle.py", "utils/kernel.py"]
for name in edited:
    with (PACKAGE / "core" / name).open("a") as file:
        file.write("# changed")
    source_digest.cache_clear()
    kernel_cache._imports.cache_clear()
    print(source_digest(engine))
"""

    digests = run(copied_package, program)

    assert [a != b for a, b in itertools.pairwise(digests)] == [False, False, True, True, True]


def test_kernels_run_as_plain_python_for_a_debugger(copied_package):
    program = """
import numpy as np
from tradesentry.core.market.caller import caller
from tradesentry.core.utils.kernel import IS_COMPILED, function_pointer, new_records
record = new_records(1, np.dtype([("n_bars", "i8")]))[0]
record.n_bars += caller(1)
print(IS_COMPILED, type(caller).__name__, record.n_bars, function_pointer(caller, exact=None, general=None) is caller)
"""

    assert run(copied_package, program, NUMBA_DISABLE_JIT="1") == ["False", "function", "20", "True"]


@pytest.mark.parametrize(
    "line",
    [
        "from strategies.helper import x",
        "from strategies import helper",
        "from strategies import something, helper as h",
        "from strategies import (\n    something,\n    helper,\n)",
        "import strategies.helper",
    ],
)
def test_a_foreign_strategy_follows_its_own_package_and_ours(tmp_path, line):
    """Following only `from package.module import`, as the digest once did, fails the three lines in the middle."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Strategies of somebody else."""\n', encoding="utf-8")
    (folder / "helper.py").write_text("x = 1\n", encoding="utf-8")
    mine = folder / "mine.py"
    mine.write_text(
        "from strategies.helper import x\nfrom tradesentry.core.utils.kernel import kernel\n", encoding="utf-8"
    )
    first = source_digest(mine)
    source_digest.cache_clear()
    kernel_cache._imports.cache_clear()

    (folder / "helper.py").write_text("x = 2\n", encoding="utf-8")

    assert source_digest(mine) != first
    assert PACKAGE / "core/utils/kernel.py" in kernel_cache._imports(mine)[1]


def test_layout_names_every_leaf_of_nested_records_with_its_place():
    leaves = layout(STATE)[:-1]

    assert leaves == [
        ("n_bars", "<i8", 0),
        ("fast", "<f8", 8),
        ("exits[2].stop", "<f8", 16),
        ("exits[2].is_on", "|b1", 24),
        ("levels[3]", "<f8", 48),
    ]


def test_saved_records_come_back_with_the_same_bits_and_writable():
    state = new_records(2, STATE)
    state[1].fast = np.nan
    state[1].exits[1].stop = 1.25
    state[0].levels[2] = -0.0

    restored = load_records(save_records(state), STATE)

    for field in ("n_bars", "fast", "levels"):
        assert restored[field].tobytes() == state[field].tobytes()
    assert restored[1].exits[1].stop == 1.25
    restored[0].n_bars = 5
    assert state[0].n_bars == 0


def refusal_of(fields: list[tuple]) -> str:
    snapshot = save_records(new_records(1, STATE))
    with pytest.raises(StateMismatch) as caught:
        load_records(snapshot, np.dtype(fields, align=True))
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ([("n_bars", "i8"), ("quick", "f8"), ("exits", EXITS, (2,)), ("levels", "f8", (3,))], "fast"),
        ([("n_bars", "i8"), ("fast", "f4"), ("exits", EXITS, (2,)), ("levels", "f8", (3,))], "fast"),
        ([("fast", "f8"), ("n_bars", "i8"), ("exits", EXITS, (2,)), ("levels", "f8", (3,))], "n_bars"),
    ],
)
def test_bytes_of_another_layout_are_refused_and_the_first_field_that_differs_is_named(fields, named):
    message = refusal_of(fields)

    assert f"field {named!r}" in message
    assert "Start the run anew" in message


@pytest.mark.parametrize(
    "fields",
    [
        [("n_bars", "i8"), ("fast", "f8"), ("exits", EXITS, (3,)), ("levels", "f8", (3,))],
        [("n_bars", "i8"), ("fast", "f8"), ("exits", EXITS, (2,)), ("levels", "f8", (4,))],
        [("n_bars", "i8"), ("fast", "f8"), ("exits", EXITS, (2,))],
    ],
)
def test_bytes_of_a_longer_or_shorter_record_are_refused(fields):
    assert "Saved state cannot be restored" in refusal_of(fields)


@pytest.mark.parametrize(
    "fields",
    [
        [("n_bars", "i8"), ("fast", "f8")],
        [("n_bars", "i8"), ("fast", "f8"), ("exits", EXITS)],
        [("n_bars", "i8"), ("fast", "f8"), ("exits", EXITS, (2,)), ("levels", "f8", (3,)), ("extra", "i8")],
    ],
)
def test_any_difference_of_layout_changes_the_digest(fields):
    assert layout_digest(np.dtype(fields, align=True)) != layout_digest(STATE)


FORMATS = st.sampled_from(["i8", "f8", "b1", "i4"])


@given(first=st.lists(FORMATS, min_size=1, max_size=5), second=st.lists(FORMATS, min_size=1, max_size=5))
def test_digests_are_equal_exactly_when_dtypes_are(first, second):
    a, b = (np.dtype([(f"f{i}", f) for i, f in enumerate(formats)], align=True) for formats in (first, second))

    assert (layout_digest(a) == layout_digest(b)) == (a == b)

"""What all tests share: the folder of real market data, and Hypothesis without deadlines."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Compiling a kernel inside the first example would look like a slow example; the same examples on every run, so that a
# change is judged by what it changed.
settings.register_profile("tradesentry", deadline=None, derandomize=True)
settings.load_profile("tradesentry")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data, which is not part of the repository; the test is skipped without it."""
    folder = Path(os.environ.get("TRADESENTRY_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real market data are not here ({folder}); set TRADESENTRY_SHARED_DATA to their folder")
    return folder

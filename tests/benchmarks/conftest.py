"""Let the tests import the benchmark modules by the names under which the adapters run them, in two environments."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

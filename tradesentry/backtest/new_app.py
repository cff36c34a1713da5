"""Write the package of a new strategy: a folder that can be installed, checked and back-tested as it is.

The texts lie in `templates/`; separate from the command, because a test and a notebook write one as well.
"""

import keyword
import re
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.strategy.strategy_registry import strategy_modules

NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,38}[a-z0-9]")
FILES: Final = {
    "pyproject.txt": "pyproject.toml",
    "init.txt": "@NAME@/__init__.py",
    "strategy.txt": "@NAME@/strategy.py",
    "config.txt": "@NAME@/config.yaml",
}
"""Where each template goes, relative to the new folder."""


def write_app(name: str, into: Path) -> Path:
    """Write the package of strategy `name` to a new folder `into/name` and return the folder.

    Args:
        name: Lower-case letters, digits and underscores, as in `mean_reversion`.
        into: An existing folder.

    Raises:
        UsageError: The name cannot be one, is taken, or the folder exists.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot be the name of a strategy. Use 3 to 40 lower-case letters, digits and underscores, "
            "beginning with a letter, as in mean_reversion."
        )
    if name in strategy_modules():
        raise UsageError(f"There is a strategy {name!r} already ({strategy_modules()[name]}). Choose another name.")
    folder = into / name
    if folder.exists():
        raise UsageError(f"{folder} exists already. Choose another name, or another folder with --into.")
    if not into.is_dir():
        raise UsageError(f"{into} is no folder. Create it, or name another with --into.")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    with tempfile.TemporaryDirectory(dir=into, prefix=f".{name}-") as half_written:
        for template, place in FILES.items():
            text = files("tradesentry.backtest").joinpath("templates", template).read_text(encoding="utf-8")
            path = Path(half_written, "new", place.replace("@NAME@", name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("@NAME@", name).replace("@CLASS@", class_name), encoding="utf-8")
        Path(half_written, "new").rename(folder)
    return folder

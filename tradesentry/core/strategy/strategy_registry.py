"""Find strategies by name, loading only the one asked for.

An app is a package under `tradesentry/apps` whose `APP` is a `BaseStrategy`; a third-party package offers its own
through the entry-point group `tradesentry.strategies`. Nothing is imported until it is asked for.
"""

import importlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tradesentry.core.domain.errors import UsageError, nearest
from tradesentry.core.strategy.base_strategy import BaseStrategy

GROUP = "tradesentry.strategies"
APPS_PACKAGE = "tradesentry.apps"


@cache
def strategy_modules() -> dict[str, str]:
    """Return `module:attribute` of every strategy by name: shipped apps first, then third-party entry points.

    Raises:
        UsageError: A third-party strategy takes the name of another.
    """
    folder = Path(__file__).resolve().parents[2] / "apps"
    known = {
        path.parent.name: f"{APPS_PACKAGE}.{path.parent.name}:APP" for path in sorted(folder.glob("*/strategy.py"))
    }
    for entry in entry_points(group=GROUP):
        if known.get(entry.name, entry.value) != entry.value:
            raise UsageError(
                f"Two strategies are called {entry.name!r}: {known[entry.name]} and {entry.value}. "
                "Uninstall one of the packages, or rename its entry point."
            )
        known[entry.name] = entry.value
    return known


def strategy_names() -> list[str]:
    """Return the names of all strategies, sorted."""
    return sorted(strategy_modules())


@cache
def strategy(name: str) -> type[BaseStrategy]:
    """Return the strategy class of that name.

    Args:
        name: Name of an app or of a third-party entry point.

    Raises:
        UsageError: There is none, or it cannot be imported, or it is no strategy.
    """
    modules = strategy_modules()
    if name not in modules:
        raise UsageError(f"There is no strategy {name!r}. {nearest(name, modules)}", code="unknown_strategy")
    module, _, attribute = modules[name].partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute or "APP")
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"Strategy {name!r} cannot be loaded from {modules[name]}: {error}. Reinstall its package.",
            code="broken_strategy",
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseStrategy)):
        raise UsageError(f"{modules[name]} is no strategy. It must be a subclass of BaseStrategy.", code="no_strategy")
    return found

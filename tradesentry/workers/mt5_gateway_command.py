"""`tradesentry mt5-gateway`: the command. What it does is in `mt5_gateway`, which is imported when it runs.

Separate because the root command line must start quickly.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tradesentry.core.utils.config_loader import load_config
from tradesentry.settings import load_settings


def mt5_gateway(
    config: Annotated[Path, typer.Option("--config", help="YAML file that says what is served, and where.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value; repeatable.")] = None,
    home: Annotated[Path | None, typer.Option("--home", help="Folder of the installation (TRADESENTRY_HOME).")] = None,
    symbols: Annotated[bool, typer.Option("--symbols", help="Only list the broker's symbols that fit.")] = False,
) -> None:
    """Serve the MetaTrader 5 terminal on this host over HTTP, until Ctrl-C.

    MT5_LOGIN, MT5_PASSWORD, MT5_SERVER and MT5_GATEWAY_TOKEN come from the environment or .env.
    """
    from tradesentry.core.domain.clock import SystemClock
    from tradesentry.workers.mt5_gateway import GatewayConfig, run, session_of

    settings, served = load_settings(), load_config(GatewayConfig, path=config, overrides=set_ or ()).value
    folder = (home or settings.home).absolute() / "mt5" / str(settings.mt5_login)
    if symbols:
        for symbol, name in session_of(served, settings, SystemClock(), folder).terminal.fitting_symbols().items():
            typer.echo(f"  {symbol}: {name}")
        return
    asyncio.run(run(served, settings, folder))

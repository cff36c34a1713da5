"""Serve the terminal on this host over HTTP: the process behind `tradesentry mt5-gateway`.

For the Windows host where the terminal runs; it needs neither a database nor the rest of the platform. What is served
is in a YAML file, secrets are in the environment. It refuses to start for any account but the configured one, and
listens on loopback unless it has a certificate.
"""

import asyncio
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

from pydantic import Field

from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.mt5_gateway import Mt5Gateway
from tradesentry.core.broker.mt5_session import Mt5Session
from tradesentry.core.broker.mt5_terminal import Mt5Link
from tradesentry.core.domain.clock import Clock, SystemClock
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.settings import Settings

PER_SECOND: Final = 100.0
"""Commands a second that the gateway takes; the account's own throttle is the client's."""


class GatewayConfig(FrozenModel):
    """What a gateway serves, and where."""

    server_tz: str = Field(description="Clock of the broker's server: Europe/Athens, America/New_York+7h.")
    symbols: dict[str, str] = Field({}, description="The broker's name of each symbol that is traded; see --symbols.")
    currency: str = Field("USD", min_length=3, max_length=4, description="ISO code of the account.")
    is_hedging: bool = Field(True, description="Opposite trades on one instrument may be open at the same time.")
    environment: Literal["practice", "live"] = Field("practice", description="Whether the account is a demo or real.")
    terminal: str = Field("", description="Path of terminal64.exe; the one that runs when empty.")
    deviation_points: int = Field(20, ge=0, le=1_000, description="Slippage allowed on instant execution, points.")
    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback only with a certificate.")
    port: int = Field(8_787, ge=0, le=65_535, description="Port of the address; 0 takes a free one.")
    certificate: Path | None = Field(None, description="PEM file of the certificate chain.")
    key: Path | None = Field(None, description="PEM file of the certificate's key.")


async def run(served: GatewayConfig, settings: Settings, folder: Path) -> None:
    """Serve a terminal until Ctrl-C or SIGTERM.

    Args:
        served: What, and where.
        settings: Secrets of this installation.
        folder: Of the terminal's logs.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no handlers on the loop; Ctrl-C then ends `asyncio.run`, which stops the gateway as well.
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await serve(served, settings, SystemClock(), stop, folder=folder, say=_say)


async def serve(
    served: GatewayConfig,
    settings: Settings,
    clock: Clock,
    stop: asyncio.Event,
    *,
    folder: Path,
    say: Callable[[str], None],
    package: Any = None,
) -> None:
    """Serve a terminal until `stop` is set.

    Args:
        served: What, and where.
        settings: Secrets of this installation.
        clock: Time.
        stop: Ends it.
        folder: Of the terminal's logs.
        say: Receives lines for people.
        package: The `MetaTrader5` package; imported when it is None.

    Raises:
        AccountMismatch: The terminal is logged in to another account.
        ConfigError: A secret is missing, or an address beyond loopback lacks a certificate.
    """
    session = session_of(served, settings, clock, folder, package=package)
    gateway = _gateway_of(served, settings, clock, session)
    try:
        state = await gateway.start()
        say(f"Serving account …{state.account[-3:]} ({state.environment}, {state.currency}) on {gateway.url}.")
        say(f"Logs: {folder}. Event log {state.log_id}, {state.last_seq} events. Ctrl-C stops.")
        await stop.wait()
    finally:
        await gateway.stop()


def _gateway_of(served: GatewayConfig, settings: Settings, clock: Clock, session: Mt5Session) -> Mt5Gateway:
    if settings.mt5_gateway_token is None:
        raise _missing("MT5_GATEWAY_TOKEN")
    gate = CommandGate(clock, throttle=Throttle(clock, per_second=PER_SECOND, burst=PER_SECOND))
    return Mt5Gateway(
        Mt5Broker(session, clock, gate=gate),
        clock,
        token=settings.mt5_gateway_token.get_secret_value(),
        host=served.host,
        port=served.port,
        tls=_tls(served),
    )


def session_of(
    served: GatewayConfig, settings: Settings, clock: Clock, folder: Path, *, package: Any = None
) -> Mt5Session:
    """Return the session with the configured terminal, not yet started. Arguments as `serve`.

    Raises:
        ConfigError: Login or server are missing.
    """
    if settings.mt5_login is None or settings.mt5_server is None:
        raise _missing("MT5_LOGIN" if settings.mt5_login is None else "MT5_SERVER")
    link = Mt5Link(
        login=settings.mt5_login,
        server=settings.mt5_server,
        environment=served.environment,
        currency=served.currency,
        is_hedging=served.is_hedging,
        server_tz=served.server_tz,
        symbols=served.symbols,
        password="" if settings.mt5_password is None else settings.mt5_password.get_secret_value(),
        terminal=served.terminal,
        deviation_points=served.deviation_points,
    )
    return Mt5Session(link, clock, folder=folder, new_log_id=lambda: uuid4().hex, package=package)


def _tls(served: GatewayConfig) -> ssl.SSLContext | None:
    if served.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(served.certificate, served.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The certificate {served.certificate} cannot be used: {error}. Correct its path.") from error
    return context


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"{name} is not set, so the terminal cannot be served. Put it into the environment or into .env "
        f"({name}_FILE names a file that holds a secret).",
        code="missing_secret",
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")

"""Open an account at a real venue: with the secrets of this installation, and only if it is what was linked."""

from typing import Final
from uuid import uuid4

from tradesentry.bootstrap.parts import OpenAccount, Opening, check_clock, converters_of, polled_feed, setup_of
from tradesentry.core.broker.account_settings import VenueSettings, venue_settings
from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.broker.commands import CommandGate
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.mt5_gateway_client import Mt5GatewayBroker
from tradesentry.core.broker.mt5_gateway_messages import GatewayLink
from tradesentry.core.broker.mt5_session import Mt5Session
from tradesentry.core.broker.mt5_terminal import Mt5Link
from tradesentry.core.broker.oanda import OandaBroker, OandaLink
from tradesentry.core.broker.oanda_client import OandaClient
from tradesentry.core.broker.oanda_messages import need, read_account
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import AccountMismatch, ConfigError
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.market.instruments import canonical_symbol
from tradesentry.settings import Settings

OANDA_HOSTS: Final = {
    "practice": ("https://api-fxpractice.oanda.com", "https://stream-fxpractice.oanda.com"),
    "live": ("https://api-fxtrade.oanda.com", "https://stream-fxtrade.oanda.com"),
}
ENVIRONMENT_OF: Final = {"practice": "demo", "live": "real"}
"""What the journal calls a venue's environment."""


async def _real(o: Opening, settings: VenueSettings, broker: BaseBroker, clock: Clock) -> OpenAccount:
    """Return a real account whose broker is connected, after a look at its clock."""
    try:
        state = await broker.connect()
        wanted = (o.link.environment, settings.currency)
        found = (ENVIRONMENT_OF.get(state.environment, state.environment), state.currency)
        if found != wanted:
            raise AccountMismatch(
                f"Account …{o.link.account_ref[-3:]} at {o.link.broker} is {found[0]} in {found[1]} and was linked as "
                f"{wanted[0]} in {wanted[1]}. Nothing is traded; link it anew as what it is.",
                code="wrong_environment",
            )
        await check_clock(broker, o.link.broker)
        offered = {name: item.instrument for name, item in (await broker.instruments()).items()}
        symbols = sorted({canonical_symbol(symbol) for symbol in settings.symbols})
        converts = converters_of(symbols, offered, settings.currency, settings.rates)
        items = [offered[name] for name in (*symbols, *converts)]
        setup = setup_of(settings, items, converts=converts, last_ns=clock.now_ns(), capital=float(state.balance))
    except BaseException:
        await broker.close()
        raise
    feed = polled_feed(broker, (*symbols, *converts), settings.timeframe, clock)
    return OpenAccount(broker, feed, clock, setup, state.environment)


async def open_oanda(o: Opening) -> OpenAccount:
    """Return the parts of an OANDA account."""
    settings = venue_settings(o.link.settings)
    link = oanda_link(
        o.settings, account=o.link.account_ref, currency=settings.currency, is_hedging=settings.is_hedging
    )
    return await _real(o, settings, OandaBroker(link, o.clock, gate=o.gate), o.clock)


async def oanda_prices(o: Opening) -> OandaBroker:
    """Return a connection that is read for its prices only."""
    state = await look_at_oanda(o.settings, o.clock)
    link = oanda_link(o.settings, account=None, currency=state.currency, is_hedging=state.is_hedging)
    broker = OandaBroker(link, o.clock, gate=CommandGate(o.clock, may_send=lambda _stamp: False))
    await broker.connect()
    return broker


async def look_at_oanda(settings: Settings, clock: Clock) -> AccountState:
    """Return what OANDA says of this installation's account: how it is linked for the first time.

    Args:
        settings: Secrets.
        clock: Time.

    Raises:
        ConfigError: A secret is missing.
        BrokerError: OANDA cannot be read or refuses.
    """
    link = oanda_link(settings, account=None, currency="", is_hedging=True)
    client = OandaClient(base_url=link.base_url, stream_url=link.stream_url, token=link.token, clock=clock)
    try:
        said = await client.get(f"/v3/accounts/{link.account}")
        last_id = need(said, "lastTransactionID")
        now_ns = clock.now_ns()
        return read_account(need(said, "account"), last_id=last_id, environment=link.environment, as_of_ns=now_ns)
    finally:
        await client.close()


def oanda_link(settings: Settings, *, account: str | None, currency: str, is_hedging: bool) -> OandaLink:
    """Return how OANDA is reached with the secrets of this installation.

    Args:
        settings: Secrets.
        account: The account that is meant; the installation's when None.
        currency: Of it.
        is_hedging: Whether it hedges.

    Raises:
        ConfigError: A secret is missing, or is another account's.
    """
    if settings.oanda_token is None or settings.oanda_account is None:
        raise _missing("OANDA_TOKEN" if settings.oanda_token is None else "OANDA_ACCOUNT", "OANDA")
    if account is not None and account != settings.oanda_account:
        raise ConfigError(
            f"OANDA_ACCOUNT is …{settings.oanda_account[-3:]} and the linked account is …{account[-3:]}. Give the "
            "token and account of the linked one to this process.",
            code="wrong_account",
        )
    rest, stream = OANDA_HOSTS[settings.oanda_environment]
    return OandaLink(
        settings.oanda_account, settings.oanda_token.get_secret_value(), settings.oanda_url or rest,
        settings.oanda_stream_url or settings.oanda_url or stream, settings.oanda_environment, currency, is_hedging,
    )  # fmt: skip


# MetaTrader 5


async def open_mt5(o: Opening) -> OpenAccount:
    """Return the parts of a MetaTrader 5 account, over a gateway where one is set, else in this process."""
    settings = venue_settings(o.link.settings)
    if not o.link.account_ref.isdigit():
        raise ConfigError(f"{o.link.account_ref!r} is no login of MetaTrader 5; it is a number. Link the account anew.")
    return await _real(o, settings, mt5_broker(o.settings, settings, int(o.link.account_ref), o.clock, o.gate), o.clock)


def mt5_broker(settings: Settings, account: VenueSettings, login: int, clock: Clock, gate: CommandGate) -> BaseBroker:
    """Return the broker of a MetaTrader 5 account, not yet connected.

    Args:
        settings: Secrets of this installation.
        account: What was linked.
        login: Of the account.
        clock: Time.
        gate: Throttle, deadline and fence of commands.

    Raises:
        ConfigError: A secret is missing or is another account's, or the server's time zone is not known.
    """
    if settings.mt5_gateway_url is not None:
        return _gateway_broker(settings, settings.mt5_gateway_url, account, login, clock, gate)
    if settings.mt5_login is None or settings.mt5_password is None or settings.mt5_server is None:
        secrets = {
            "MT5_LOGIN": settings.mt5_login, "MT5_PASSWORD": settings.mt5_password, "MT5_SERVER": settings.mt5_server,
        }  # fmt: skip
        raise _missing(next(name for name, value in secrets.items() if value is None), "the terminal")
    if settings.mt5_login != login:
        raise ConfigError(
            f"MT5_LOGIN is …{str(settings.mt5_login)[-3:]} and the linked account is …{str(login)[-3:]}. Give login, "
            "password and server of the linked one to this process.",
            code="wrong_account",
        )
    if account.server_tz is None:
        raise ConfigError(
            "The time zone of the MetaTrader 5 server is not known, and its times cannot be read without it. Link the "
            "account with --server-tz, such as Europe/Athens."
        )
    terminal = Mt5Link(
        login, settings.mt5_server, account.environment, account.currency, account.is_hedging, account.server_tz,
        {symbol: account.names.get(symbol, symbol) for symbol in account.symbols},
        settings.mt5_password.get_secret_value(),
    )  # fmt: skip
    folder = settings.home / "mt5" / str(login)
    return Mt5Broker(Mt5Session(terminal, clock, folder=folder, new_log_id=lambda: uuid4().hex), clock, gate=gate)


def _gateway_broker(
    settings: Settings, url: str, account: VenueSettings, login: int, clock: Clock, gate: CommandGate
) -> BaseBroker:
    if settings.mt5_gateway_token is None:
        raise _missing("MT5_GATEWAY_TOKEN", "the gateway")
    token = settings.mt5_gateway_token.get_secret_value()
    link = GatewayLink(url, login, account.environment, account.currency, account.is_hedging, token)
    return Mt5GatewayBroker(link, clock, gate=gate)


def _missing(name: str, what: str) -> ConfigError:
    return ConfigError(
        f"{name} is not set, so {what} cannot be reached. Put it into the environment or into .env ({name}_FILE names "
        "a file that holds a secret).",
        code="missing_secret",
    )

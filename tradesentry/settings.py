"""Secrets and addresses of this installation, read once from the environment and `.env`.

Separate from configuration: a strategy's YAML file may be shown to everybody, these values to nobody. Every secret is a
`SecretStr`, so it prints as stars, and may also be given as a file (`OANDA_TOKEN_FILE=/run/secrets/oanda`), which is
how containers hand secrets over. Precedence: environment, then `.env` in the working folder, then the default.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.logger import Level


def _named(name: str, *others: str) -> AliasChoices:
    return AliasChoices(name, *others)


def _user_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("tradesentry", appauthor=False)


class Settings(BaseSettings):
    """What this installation knows and a strategy must not say."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True,
        populate_by_name=True, env_prefix="TRADESENTRY_",
    )  # fmt: skip
    # The prefix is for the fields' own names only: without it the shell's HOME would be ours.

    catalog: Path = Field(
        Path("catalog"), validation_alias=_named("TRADESENTRY_CATALOG"), description="Folder of imported market data."
    )
    runs: Path = Field(
        Path("runs"), validation_alias=_named("TRADESENTRY_RUNS"), description="Folder where results are written."
    )
    log_level: Level = Field(
        "info", validation_alias=_named("TRADESENTRY_LOG_LEVEL"), description="Least important level that is logged."
    )
    log_file: Path | None = Field(
        None, validation_alias=_named("TRADESENTRY_LOG_FILE"), description="Rotating file of JSON log lines."
    )
    notify_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        validation_alias=_named("TRADESENTRY_NOTIFY_URLS", "NOTIFY_URLS"),
        description="Apprise addresses that alerts go to, separated by spaces or lines.",
    )
    database_url: SecretStr | None = Field(
        None, validation_alias=_named("DATABASE_URL"), description="PostgreSQL to use instead of the embedded one."
    )
    home: Path = Field(
        default_factory=_user_home,
        validation_alias=_named("TRADESENTRY_HOME"),
        description="Folder of this installation: embedded database, secrets, logs.",
    )
    pg_bin: Path | None = Field(
        None,
        validation_alias=_named("TRADESENTRY_PG_BIN"),
        description="Folder of PostgreSQL's programs to use instead of the ones that come with TradeSentry.",
    )
    heartbeat_url: str | None = Field(
        None,
        validation_alias=_named("TRADESENTRY_HEARTBEAT_URL"),
        description="Address of an outside watcher that is told every minute that live trading goes on.",
    )
    ray_address: str | None = Field(
        None, validation_alias=_named("RAY_ADDRESS"), description="Cluster that `--executor ray` uses."
    )
    oanda_token: SecretStr | None = Field(
        None, validation_alias=_named("OANDA_TOKEN"), description="Personal access token of an OANDA v20 account."
    )
    oanda_account: str | None = Field(
        None, validation_alias=_named("OANDA_ACCOUNT"), description="Account id, such as 101-004-1234567-001."
    )
    oanda_environment: Literal["practice", "live"] = Field(
        "practice", validation_alias=_named("OANDA_ENVIRONMENT"), description="Which OANDA servers to talk to."
    )
    oanda_url: str | None = Field(
        None, validation_alias=_named("OANDA_URL"), description="Another REST host than OANDA's own, as for a fake."
    )
    oanda_stream_url: str | None = Field(
        None, validation_alias=_named("OANDA_STREAM_URL"), description="The same for its streams."
    )
    mt5_login: int | None = Field(
        None, gt=0, validation_alias=_named("MT5_LOGIN"), description="Account number at the MetaTrader 5 server."
    )
    mt5_password: SecretStr | None = Field(
        None, validation_alias=_named("MT5_PASSWORD"), description="Password of that account."
    )
    mt5_server: str | None = Field(
        None, validation_alias=_named("MT5_SERVER"), description="Server name as the terminal shows it."
    )

    mt5_environment: Literal["practice", "live"] = Field(
        "practice", validation_alias=_named("MT5_ENVIRONMENT"), description="Whether that account is a demo or real."
    )
    mt5_gateway_url: str | None = Field(
        None, validation_alias=_named("MT5_GATEWAY_URL"), description="Gateway beside the terminal, http://HOST:PORT."
    )
    mt5_gateway_token: SecretStr | None = Field(
        None, validation_alias=_named("MT5_GATEWAY_TOKEN"), description="Token that the gateway asks for."
    )

    @field_validator("notify_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, then files it names, then `.env`."""
        return init_settings, env_settings, _secret_files(settings_cls, os.environ), dotenv_settings


def _secret_files(model: type[BaseSettings], environment: Mapping[str, str]) -> InitSettingsSource:
    """Return the values of all `NAME_FILE` variables, each the text of the file it names."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
        for alias in aliases:
            path = environment.get(f"{alias}_FILE")
            # TRADESENTRY_LOG_FILE is a setting of its own, not a file holding a TRADESENTRY_LOG.
            if path and "SecretStr" in str(field.annotation):
                values[name] = _secret_text(f"{alias}_FILE", Path(path))
    return InitSettingsSource(model, values)


def _secret_text(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable} names {path}, which cannot be read: {error}. Correct the path.") from error


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Return the settings of this installation.

    Args:
        env_file: File of `NAME=value` lines; None reads the environment only.

    Raises:
        ConfigError: A value is not usable. The message names the variable and never shows a secret.
    """
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        lines = [
            f"{details['loc'][0]}: {details['msg'].rstrip('.')}. Correct it in the environment or in {env_file}."
            for details in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError("\n".join(lines), code="settings") from None

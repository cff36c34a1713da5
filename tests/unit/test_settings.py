"""Settings: secrets from the environment, from files and from `.env`, never shown."""

from pathlib import Path

import pytest

from tradesentry.core.domain.errors import ConfigError
from tradesentry.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for field in Settings.model_fields.values():
        for name in field.validation_alias.choices:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_defaults_need_no_environment():
    settings = load_settings(env_file=None)

    assert settings.catalog == Path("catalog")
    assert settings.oanda_token is None
    assert settings.oanda_environment == "practice"


def test_the_shells_own_variables_are_not_ours(monkeypatch, tmp_path):
    """Seen to fail: the installation was made in $HOME itself."""
    for name in ("HOME", "RUNS", "CATALOG", "LOG_LEVEL"):
        monkeypatch.setenv(name, str(tmp_path / "shell"))

    settings = load_settings(env_file=None)

    assert settings.home.name == "tradesentry"
    assert (settings.runs, settings.catalog, settings.log_level) == (Path("runs"), Path("catalog"), "info")


def test_environment_beats_secret_file_and_that_beats_env_file(monkeypatch, tmp_path):
    env_file = tmp_path / ".env"
    env_file.write_text("OANDA_TOKEN=from-env-file\nMT5_PASSWORD=from-env-file\nRAY_ADDRESS=ray://a:1\n")
    secret = tmp_path / "secret"
    secret.write_text("from-secret-file\n")
    monkeypatch.setenv("OANDA_TOKEN", "from-environment")
    monkeypatch.setenv("OANDA_TOKEN_FILE", str(secret))
    monkeypatch.setenv("MT5_PASSWORD_FILE", str(secret))

    settings = load_settings(env_file)

    assert settings.oanda_token.get_secret_value() == "from-environment"
    assert settings.mt5_password.get_secret_value() == "from-secret-file"
    assert settings.ray_address == "ray://a:1"


def test_secrets_print_as_stars(monkeypatch):
    monkeypatch.setenv("OANDA_TOKEN", "hunter2")
    monkeypatch.setenv("TRADESENTRY_NOTIFY_URLS", "tgram://hunter2/chat")

    settings = load_settings(env_file=None)

    assert "hunter2" not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()


def test_notification_addresses_are_split_at_blanks_and_keep_their_commas(monkeypatch):
    monkeypatch.setenv("NOTIFY_URLS", "json://a/?x=1,2\n  tgram://t/c ")

    settings = load_settings(env_file=None)

    assert [url.get_secret_value() for url in settings.notify_urls] == ["json://a/?x=1,2", "tgram://t/c"]


def test_log_file_is_a_setting_of_its_own_and_not_a_secret_file(monkeypatch):
    monkeypatch.setenv("TRADESENTRY_LOG_FILE", "logs/log.jsonl")

    assert load_settings(env_file=None).log_file == Path("logs/log.jsonl")


def test_empty_variable_means_not_set(monkeypatch):
    monkeypatch.setenv("OANDA_TOKEN", "")

    assert load_settings(env_file=None).oanda_token is None


def test_unusable_value_names_the_variable_and_shows_no_value(monkeypatch):
    monkeypatch.setenv("MT5_LOGIN", "hunter2")
    monkeypatch.setenv("OANDA_ENVIRONMENT", "demo")

    with pytest.raises(ConfigError) as caught:
        load_settings(env_file=None)

    assert "MT5_LOGIN" in str(caught.value)
    assert "OANDA_ENVIRONMENT: Input should be 'practice' or 'live'" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secret_file_that_is_missing_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("OANDA_TOKEN_FILE", str(tmp_path / "absent"))

    with pytest.raises(ConfigError, match="OANDA_TOKEN_FILE names .*absent, which cannot be read"):
        load_settings(env_file=None)

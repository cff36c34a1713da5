"""Say what happened, one event a line, for people on a terminal and for machines elsewhere; never a secret.

Events are past-tense names with fields (`log.info("order_filled", instrument="EUR_USD", size_units=10_000)`). They go
through the standard library's handlers, so lines of third-party packages get the same form, the same file and the same
masking. Logs go to stderr: stdout belongs to results. Nothing is set up at import, and until `configure_logging` runs
only warnings are shown.

Masking goes by the name of a field (password, token, account, ...) and, for text that carries credentials inside, by
their form (`scheme://user:password@host`, `Bearer ...`).
"""

import json as json_format
import logging
import math
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from tradesentry.core.domain.errors import ConfigError

Level = Literal["debug", "info", "warning", "error", "critical"]
Logger = structlog.stdlib.BoundLogger

MASK = "***"
PACKAGE = "tradesentry"
_SECRET_NAME = re.compile(
    r"passw|secret|token|api_?key|private_?key|(^|_)(key|pin|otp|kek|pepper|dsn)$|authori[sz]ation|cookie|credential"
    r"|session_id|notify_url|database_url|webhook",
    re.IGNORECASE,
)
_ACCOUNT_NAME = re.compile(r"^(.*_)?(account|account_id|account_number|accounts|login|iban)$", re.IGNORECASE)
_PUBLIC_NAME = re.compile(r"^(idempotency_key|dedupe_key|key)$|_digest$", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_MAX_DEPTH = 8
_handlers: list[logging.Handler] = []
_collectors: "list[_Collector]" = []
_before: list[int] = []
"""Levels of our logger and of its handlers before anything was collected."""
_collecting = threading.Lock()
_tokens: ContextVar[tuple[str, ...]] = ContextVar("tradesentry_log_collectors", default=())


def mask_account(number: object) -> object:
    """Return an account number with all digits masked but the last four; internal ids and names stay readable.

    Args:
        number: What a broker calls the account: 101-004-1234567-001 or 50012345. UUIDs are ours and identify nobody.
    """
    text = str(number)
    try:
        uuid.UUID(text)
    except ValueError:
        n_digits = sum(character.isdigit() for character in text)
        if n_digits > 4:
            n_masked = iter(range(n_digits))
            return "".join(("*" if next(n_masked) < n_digits - 4 else c) if c.isdigit() else c for c in text)
    return number


def _mask(name: str, value: Any, depth: int = 0) -> Any:
    """Return `value` without secrets, and without what JSON cannot say (infinities, deep or endless nesting)."""
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name):
        return MASK
    if depth > _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {str(inner): _mask(str(inner), item, depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(name, item, depth + 1) for item in value]
    return _mask_leaf(name, value)


def _mask_leaf(name: str, value: Any) -> Any:
    if _ACCOUNT_NAME.search(name) and isinstance(value, str | int):
        return mask_account(value)
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def scrub(text: str) -> str:
    """Return `text` without the credentials that addresses and authorization headers carry."""
    return _BEARER.sub(rf"\1 {MASK}", _USERINFO.sub(MASK, text))


def mask_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Mask an event before it is rendered; a structlog processor."""
    private = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    masked = {name: _mask(name, value) for name, value in event.items()}
    return cast(MutableMapping[str, Any], masked | private)


def _plain(value: Any) -> Any:
    """Return what JSON can say of a value it does not know: a NumPy number, a path, a date."""
    is_number = hasattr(value, "item") and getattr(value, "ndim", 1) == 0
    return _mask("", value.item()) if is_number else scrub(str(value))


def _json_line(event: EventDict, **_options: Any) -> str:
    return json_format.dumps(event, default=_plain, ensure_ascii=False)


def _shared() -> list[Processor]:
    """Return the steps that every line takes, ours and those of other packages."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            # Plain text: the pretty tracebacks show local variables, and those hold passwords.
            structlog.processors.format_exc_info,
            mask_secrets,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            renderer,
        ],
    )


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment, so that a redirection in force later is obeyed."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure_logging(
    level: Level = "info",
    *,
    json: bool | None = None,
    file: Path | None = None,
    max_bytes: int = 20_000_000,
    n_backups: int = 5,
    stream: TextIO | None = None,
) -> None:
    """Send logs to stderr and, if asked, to a rotating file; calling it again replaces the set-up.

    Args:
        level: Least important level of our own events. Other packages speak from warning on.
        json: One JSON object a line; None chooses the console form on a terminal and JSON elsewhere.
        file: JSON lines go here too, at `level`. One process a file: rotation does not lock.
        max_bytes: Size at which the file is rotated.
        n_backups: Rotated files kept, `log.jsonl.1` being the latest.
        stream: Where the console lines go instead of stderr.

    Raises:
        ConfigError: The level is unknown or the file cannot be opened.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigError(f"Log level {level!r} does not exist. Choose debug, info, warning, error or critical.")
    target = stream if stream is not None else sys.stderr
    is_terminal = target.isatty()
    is_json = not is_terminal if json is None else json
    handlers: list[logging.Handler] = [_Stderr() if stream is None else logging.StreamHandler(stream)]
    handlers[0].setFormatter(_formatter(_renderer(is_json=is_json, is_terminal=is_terminal)))
    if file is not None:
        handlers.append(_file_handler(file, max_bytes, n_backups))
    reset_logging()
    _handlers.extend(handlers)
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    logging.getLogger(PACKAGE).setLevel(number)
    logging.captureWarnings(capture=True)


def _renderer(*, is_json: bool, is_terminal: bool) -> Processor:
    if is_json:
        return structlog.processors.JSONRenderer(serializer=_json_line)
    has_colors = is_terminal and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(
        colors=has_colors, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
    )


def _file_handler(file: Path, max_bytes: int, n_backups: int) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=max_bytes, backupCount=n_backups, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Log file {file} cannot be written: {error}. Choose a writable place.") from error
    handler.setFormatter(_formatter(structlog.processors.JSONRenderer(serializer=_json_line)))
    return handler


def reset_logging() -> None:
    """Take away the handlers that `configure_logging` added and close their files."""
    while _handlers:
        handler = _handlers.pop()
        logging.getLogger().removeHandler(handler)
        handler.close()
    logging.getLogger(PACKAGE).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


def get_logger(name: str = PACKAGE, **fields: object) -> Logger:
    """Return the logger of a module, with `fields` bound to every event.

    Args:
        name: `__name__` of the module.
        fields: Bound for good: `app="smgrid"`, `account=...`.
    """
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return cast(Logger, logger.bind(**fields))


def log_context(**fields: object) -> AbstractContextManager[None]:
    """Bind `fields` to every event inside a `with` block, in this thread and the tasks it starts.

    Args:
        fields: Such as `run_id=...`, `client_order_id=...`.
    """
    return cast(AbstractContextManager[None], structlog.contextvars.bound_contextvars(**fields))


class _Collector(logging.Handler):
    """Keeps the lines of one `collect_lines` block; a number in the context tells its events from all others."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []
        self.token = uuid.uuid4().hex
        self.setFormatter(_formatter(structlog.processors.JSONRenderer(serializer=_json_line)))
        self.addFilter(lambda _record: self.token in _tokens.get())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def collect_lines(level: Level = "info", **fields: object) -> Iterator[list[str]]:
    """Collect our own events of a `with` block, in this thread and the tasks it starts, as lines of JSON.

    For what keeps a log of its own beside its results. Other handlers go on showing what they showed before.

    Args:
        level: Least important level collected.
        **fields: Bound to every event, as by `log_context`.
    """
    collector = _Collector(logging.getLevelNamesMapping()[level.upper()])
    package = logging.getLogger(PACKAGE)
    _attach(collector, package)
    mark = _tokens.set((*_tokens.get(), collector.token))
    try:
        with log_context(**fields):
            yield collector.lines
    finally:
        _tokens.reset(mark)
        _detach(collector, package)


def _attach(collector: _Collector, package: logging.Logger) -> None:
    with _collecting:
        if not _collectors:
            # The logger lets more through from now on, so the handlers keep to what they were asked for.
            _before[:] = [package.level, *(handler.level for handler in _handlers)]
            for handler in _handlers:
                handler.setLevel(max(handler.level, package.getEffectiveLevel()))
        _collectors.append(collector)
        package.addHandler(collector)
        package.setLevel(min(c.level for c in _collectors))


def _detach(collector: _Collector, package: logging.Logger) -> None:
    with _collecting:
        package.removeHandler(collector)
        _collectors.remove(collector)
        if _collectors:
            return
        package.setLevel(_before[0])
        for handler, level in zip(_handlers, _before[1:], strict=False):
            handler.setLevel(level)

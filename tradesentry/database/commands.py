"""`tradesentry db ...`: make, check, save and move the database. Results on stdout, what was done on stderr.

Heavy libraries are imported inside the commands: the root command line must start quickly.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradesentry.core.domain.errors import CheckFailed, UsageError
from tradesentry.settings import Settings, load_settings

if TYPE_CHECKING:
    from tradesentry.database.server import Server

app = typer.Typer(no_args_is_help=True, help="Make, check, save and move the database.", rich_markup_mode=None)
HomeOption = Annotated[Path | None, typer.Option("--home", help="Folder of the installation (TRADESENTRY_HOME).")]
UrlOption = Annotated[str | None, typer.Option("--database-url", help="A real server instead of the embedded one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def _home(home: Path | None, settings: Settings) -> Path:
    return (home or settings.home).absolute()


@contextmanager
def _server(home: Path | None, database_url: str | None) -> "Iterator[Server]":
    from tradesentry.database.server import open_server
    from tradesentry.database.session import driver_errors

    settings = load_settings()
    url = database_url or (settings.database_url.get_secret_value() if settings.database_url else None)
    with open_server(_home(home, settings), database_url=url, bin_dir=settings.pg_bin) as server, driver_errors():
        yield server


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


@app.command("init")
def init(home: HomeOption = None, database_url: UrlOption = None) -> None:
    """Make roles, database and tables; repeating it is harmless. A real server needs an administrator's address."""
    from tradesentry.database.schema import head

    with _server(home, database_url) as server:
        server.initialize()
        _say(f"Database {server.database} is ready at migration {head()}.")


@app.command("migrate")
def migrate_(home: HomeOption = None, database_url: UrlOption = None) -> None:
    """Bring the tables to this program's version."""
    from tradesentry.database.schema import current, head, migrate

    with _server(home, database_url) as server:
        before = current(server.url())
        migrate(server.url())
        _say(f"Database {server.database}: {before or 'empty'} to {head()}.")


@app.command("check")
def check(home: HomeOption = None, database_url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Check migrations, schema, durability, tenancy rules and the journal; exit code 1 if anything is wrong."""
    from tradesentry.database.checks import check_database

    with _server(home, database_url) as server:
        findings = check_database(server)
    if as_json:
        typer.echo(json.dumps([{"check": f.check, "ok": f.is_ok, "problems": f.problems} for f in findings]))
    else:
        for finding in findings:
            typer.echo(f"{'ok' if finding.is_ok else 'WRONG'}\t{finding.check}")
            for problem in finding.problems:
                typer.echo(f"\t{problem}")
    wrong = [finding.check for finding in findings if not finding.is_ok]
    if wrong:
        raise CheckFailed(f"The database fails: {', '.join(wrong)}. See the lines above.", code="db_check")


@app.command("backup")
def backup_(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    home: HomeOption = None,
    database_url: UrlOption = None,
) -> None:
    """Save everything to one file."""
    from tradesentry.database.backup import backup

    with _server(home, database_url) as server:
        size = backup(server, file)
    _say(f"Saved {size:,} bytes to {file}. Passwords and keys are in HOME/secrets and not in it.")


@app.command("restore")
def restore_(
    file: Annotated[Path, typer.Argument(help="Written by `db backup`.", exists=True, dir_okay=False)],
    home: HomeOption = None,
    database_url: UrlOption = None,
) -> None:
    """Load a backup into a fresh database and put it in the place of the live one, which is kept under another name."""
    from tradesentry.database.backup import restore
    from tradesentry.database.roles import provision

    with _server(home, database_url) as server:
        provision(server.admin_url, server.passwords, database=server.database)
        old = restore(server, file)
    _say(
        f"Restored {file}. The database of before is kept as {old}. Every account is HALTED with a new instance and "
        "epoch: orders sent after the backup may exist at the venue. Look at each account, then arm it again."
    )


@app.command("upgrade")
def upgrade_(
    to: Annotated[int | None, typer.Option("--to", help="PostgreSQL version; the newest one here if omitted.")] = None,
    home: HomeOption = None,
) -> None:
    """Move the embedded data to a newer PostgreSQL; a dump and the old folder are kept."""
    from tradesentry.database.upgrade import upgrade

    settings = load_settings()
    done = upgrade(_home(home, settings), major=to, bin_dir=settings.pg_bin)
    if done is None:
        _say("The data are of that version already.")
    else:
        _say(f"PostgreSQL {done.old_major} to {done.new_major}. Kept: {done.kept} and {done.dump}.")


@app.command("shell")
def shell(
    role: Annotated[
        str, typer.Option("--role", help="As whom; readonly sees the rows of app.user_id only.")
    ] = "ts_owner",
    home: HomeOption = None,
    database_url: UrlOption = None,
) -> None:
    """Open psql on the database."""
    from tradesentry.database.clients import client_environment

    with _server(home, database_url) as server:
        program, environment = str(server.programs().program("psql")), client_environment(server.url(role))
        code = subprocess.run([program], env=environment, check=False).returncode
    raise typer.Exit(code)


@app.command("reset")
def reset(
    confirm: Annotated[
        str, typer.Option("--confirm", help="The folder of the installation, to show that it is meant.")
    ],
    home: HomeOption = None,
) -> None:
    """Delete the embedded database and its passwords for good."""
    from tradesentry.database.embedded import EmbeddedPostgres
    from tradesentry.database.postmaster import end_leftover

    folder = _home(home, load_settings())
    if Path(confirm).absolute() != folder:
        raise UsageError(
            f"--confirm says {confirm}, but the database is in {folder}. Nothing was deleted. To delete it: "
            f"tradesentry db reset --home {folder} --confirm {folder}",
            code="not_confirmed",
        )
    server = EmbeddedPostgres(folder)
    server.lock()
    try:
        end_leftover(server.placement.data)
        doomed = server.placement.root / f"deleted-{os.getpid()}"
        if server.placement.data.is_dir():
            server.placement.data.rename(doomed)
        server.placement.password_file.unlink(missing_ok=True)
        shutil.rmtree(doomed, ignore_errors=True)
    finally:
        server.stop()
    _say(f"Deleted the database of {folder}. Make a new one with: tradesentry db init")

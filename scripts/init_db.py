"""Make the database ready: the same as `tradesentry db init`, for containers and deployment scripts.

`--write-schema` instead writes `schema.sql` anew from a migrated embedded database, after a change of the migrations.
"""

import sys
import tempfile
from pathlib import Path

from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import ADMIN, OWNER, provision
from tradesentry.database.schema import SCHEMA_FILE, migrate, schema_text


def write_schema() -> int:
    """Write `schema.sql` from a migrated throw-away database."""
    with tempfile.TemporaryDirectory(prefix="tradesentry-schema-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with EmbeddedPostgres(home, is_durable=False) as server:
            provision(server.url(ADMIN, "postgres"), server.passwords)
            migrate(server.url(OWNER))
            SCHEMA_FILE.write_text(schema_text(server.url(OWNER), server.binaries()), encoding="utf-8")
    print(f"Wrote {SCHEMA_FILE}.")
    return 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(write_schema() if arguments == ["--write-schema"] else run_command(app, ["db", "init", *arguments]))

"""Options that the commands of processes share; separate so that a light process need not import a heavy one's."""

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[Path | None, typer.Option("--home", help="Folder of the installation (TRADESENTRY_HOME).")]

"""The command `tradesentry drl audit`: does anything in observation, constants, decisions or fills know the future?"""

from typing import Annotated

import typer

from tradesentry.backtest.commands.request import JsonOption
from tradesentry.backtest.commands.study_options import print_document
from tradesentry.backtest.commands.terminal import print_table, say
from tradesentry.core.domain.errors import CheckFailed


def audit(
    models: Annotated[str, typer.Option(help="Folder of a model set, or shipped.")] = "shipped",
    plant: Annotated[
        bool, typer.Option("--plant", help="Also plant known leaks, and show that each is caught.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run every detector of leaks over the app's own steps with a model set."""
    from tradesentry.apps.drlfusion.audit import audit as run_audit
    from tradesentry.apps.drlfusion.audit import audited_run, pipeline_of
    from tradesentry.apps.drlfusion.audit_plants import plants

    run = audited_run(models)
    pipeline, market = pipeline_of(run), run.markets[:1]
    say(f"audit: {len(pipeline.bars):,} generated bars, {len(pipeline.trades()):,} trades, models {models}")
    found = run_audit(pipeline, market)
    caught = {
        name: [one.name for one in run_audit(leaking, market) if not one.is_clean]
        for name, leaking in (plants(pipeline).items() if plant else ())
    }
    if as_json:
        rows = [{"detector": one.name, "is_clean": one.is_clean, "detail": one.detail} for one in found]
        print_document({"detectors": rows, "planted": caught})
    else:
        print_table(
            [{"detector": f.name, "verdict": "clean" if f.is_clean else "LEAK", "what": f.detail} for f in found]
        )
        if plant:
            print_table(
                [{"planted leak": name, "caught by": ", ".join(by) or "NOTHING"} for name, by in caught.items()]
            )
    alarms = [one.name for one in found if not one.is_clean]
    missed = [name for name, by in caught.items() if not by]
    if alarms or missed:
        raise CheckFailed(
            f"{len(alarms)} detectors found a leak ({', '.join(alarms) or 'none'}), {len(missed)} planted leaks were "
            f"missed ({', '.join(missed) or 'none'}). Results of these models say nothing until that is mended."
        )

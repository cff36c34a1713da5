"""The commands that look at what was trained, `tradesentry drl verify` and `inspect`; neither needs torch."""

from typing import Annotated, Any

import typer

from tradesentry.backtest.commands.request import JsonOption
from tradesentry.backtest.commands.study_options import print_document
from tradesentry.backtest.commands.terminal import print_table, say

ModelsArgument = Annotated[str, typer.Argument(metavar="DIR", help="Folder of a model set, or shipped.")]


def verify(models: ModelsArgument = "shipped", as_json: JsonOption = False) -> None:
    """Check a model set: checksums, schema, shapes, golden outputs to the bit."""
    from tradesentry.apps.drlfusion.model_package import load_model_set

    found = load_model_set(models)
    if as_json:
        rows = [{"agent": model.algorithm, "golden": len(model.tensors["golden_pi"])} for model in found.models]
        print_document({"folder": str(found.folder), "digest": found.digest, "models": rows, "valid": True})
        return
    for model in found.models:
        typer.echo(f"{model.algorithm}: valid; {len(model.tensors['golden_pi'])} golden outputs equal to the bit")
    typer.echo(f"{len(found.models)} models valid, digest {found.digest[:16]}, in {found.folder}")


def inspect(models: ModelsArgument = "shipped", as_json: JsonOption = False) -> None:
    """Say in words what a model set was trained on, how, and how it did on validation."""
    from tradesentry.apps.drlfusion.model_package import load_model_set, notice_of

    found = load_model_set(models)
    if as_json:
        document = {model.algorithm: dict(model.meta) for model in found.models}
        print_document({"folder": str(found.folder), "digest": found.digest, "models": document})
        return
    first: dict[str, Any] = dict(found.models[0].meta)
    data = first["data"]
    what = "generated prices" if data.get("is_synthetic", True) else "recorded prices"
    typer.echo(f"{found.folder}")
    typer.echo(f"trained on {what}: {data['source']}, {', '.join(data['symbols'])}, {first['timeframe']}")
    for name in ("train", "validation"):
        if name in data:
            typer.echo(f"{name}: {' to '.join(data[name])} UTC")
    typer.echo(f"observations: schema {first['schema']['version']}, {str(first['schema']['hash'])[:16]}")
    print_table([_row(model) for model in found.models])
    if notice_of(found):
        say(f"notice: {notice_of(found)}")


def _row(model: Any) -> dict[str, Any]:
    """Return one line on a model."""
    meta = model.meta
    metrics = meta.get("metrics", {})
    interval = metrics.get("validation_net_per_bar_interval")
    return {
        "agent": model.algorithm,
        "head": meta["action"]["head"],
        "temperature": f"{meta['action']['temperature']:g}",
        "steps": meta.get("steps", ""),
        "seed": meta.get("seed", ""),
        "seeds tried": metrics.get("n_trials", ""),
        "net per bar, IQM (ATR)": _number(metrics.get("validation_net_per_bar_iqm")),
        "95 % interval": "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
        "turnover": _number(metrics.get("validation_turnover")),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

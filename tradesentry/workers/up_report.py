"""Say to a person what runs and what to do next: the end of `tradesentry up`."""

from typing import Any, Final

WIDTH: Final = 38
_ROLES: Final = {"postgres": "the database", "relay": "delivers alerts", "agent": "trades accounts"}


def ready_text(document: dict[str, Any]) -> str:
    """Return what `up` prints when everything runs.

    Args:
        document: What `up --json` prints.
    """
    lines = ["", f"TradeSentry runs in {document['home']}", ""]
    for process in document["processes"]:
        role = _ROLES.get(process["name"].split("-")[0], "")
        lines.append(f"  {process['name']:<10} process {process['pid'] or '-':<8} {role}")
    demo = document["demo"]
    if demo is not None:
        lines += ["", *_demo_lines(demo)]
    lines += ["", f"READY in {document['ready_seconds']:.1f} s", "", "Next:"]
    commands = [
        ("tradesentry status", "processes, accounts and alerts, and what is wrong"),
        ("tradesentry live status", "accounts with their state, runs and last gap"),
        ("tradesentry live --help", "trade a strategy of yours on paper, at OANDA or MetaTrader 5"),
        ("tradesentry down", "stop everything (Ctrl-C here does the same)"),
    ]
    if demo is not None and demo["is_running"]:
        strategy = demo["strategy"]
        commands.insert(2, (f"tradesentry live pause {strategy}", "no new entries; exits and stops go on"))
    lines += [f"  {command:<{WIDTH}} {what}" for command, what in commands]
    lines += ["", f"What the processes say is in {document['logs']}; add --home to commands if it is not the default."]
    return "\n".join(lines)


def _demo_lines(demo: dict[str, Any]) -> list[str]:
    markets = f"{', '.join(demo['symbols'])} {demo['timeframe']}"
    state = "trades" if demo["is_running"] else "is stopped, and traded"
    return [
        f"  Demonstration: {demo['strategy']} {state} {markets} on {demo['account']},",
        f"  {demo['data']} prices, {demo['bars_per_minute']} bars a minute; nothing of it is real.",
        f"  run {demo['run_id']}  account {demo['account_id']}",
    ]

"""Studies as a user meets them: what they say, what they leave, how they go on after a kill."""

import json
import signal
import subprocess
import sys

import pytest

from tests.support.studies import tiny_strategy
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app

PERIOD = ("--from", "2022-01-03", "--to", "2022-04-01", "--limits", "off")
SWEEP = ("sweep", "tiny", "--symbols", "EURUSD", "--timeframe", "H1", *PERIOD)
GRID = ("--grid", "every_bars=2,4,8", "--grid", "hold_bars=3,6")
WALK = ("walk-forward", "tiny", "--symbols", "EURUSD", "--timeframe", "H1", *PERIOD)
WINDOWS = ("--train", "9w", "--test", "2w", "--embargo", "1d", "--min-trades", "5", "--top", "1")
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from tradesentry.cli import main; main()"
)


@pytest.fixture
def tradesentry(tmp_path, monkeypatch, capsys):
    """A function that runs a command line in this process and returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("TRADESENTRY_RUNS", str(tmp_path / "runs"))
    with tiny_strategy(tmp_path):

        def run(*line):
            code = run_command(app, [str(word) for word in line])
            out, err = capsys.readouterr()
            return code, out, err

        yield run


def folders(tmp_path):
    return sorted((tmp_path / "runs").glob("[!.]*"))


def test_a_sweep_says_what_it_does_and_what_the_best_is_worth(tradesentry, tmp_path):
    code, out, err = tradesentry(*SWEEP, *GRID)

    (folder,) = folders(tmp_path)
    assert code == 0, err
    assert "by grid over every_bars, hold_bars; local" in err
    assert "6 of 6 plays" in err
    assert "6 plays, 0 of them found finished" in err
    assert out.splitlines()[0].split("\t")[:3] == ["rank", "variant", "trades"]
    assert f"results: {folder}" in out
    assert {path.name for path in folder.iterdir()} >= {
        "sweep.json", "variants.parquet", "returns.parquet", "summary.json", "report.html",
    }  # fmt: skip


def test_a_sweep_prints_one_document(tradesentry):
    code, out, err = tradesentry(*SWEEP, *GRID, "--json", "--no-report")

    document = json.loads(out)
    assert code == 0, err
    assert document["n_variants"] == 6
    assert document["evidence"]["n_trials"] == 6
    assert document["best"][0]["figures"]["n_trades"] > 10


def test_a_search_and_a_draw_run_from_the_line(tradesentry):
    drawn = tradesentry(*SWEEP, "--random", "3", "--search", "every_bars=2..8", "--json", "--no-report")
    found = tradesentry(
        *SWEEP, "--optuna", "8", "--search", "every_bars=2..8", "--parts", "1", "--seed", "2", "--json", "--no-report"
    )

    assert json.loads(drawn[1])["n_variants"] == 3
    assert 1 <= json.loads(found[1])["n_variants"] <= 7


def test_variants_can_share_one_account(tradesentry, tmp_path):
    code, _, err = tradesentry(*SWEEP, *GRID, "--portfolio")

    assert code == 0, err
    assert "6 variants share one account" in err
    assert (folders(tmp_path)[0] / "trades.parquet").is_file()


def test_without_anything_to_vary_the_declared_study_of_the_app_runs(tradesentry):
    code, out, err = tradesentry(
        "sweep",
        "breakout",
        "--symbols",
        "EURUSD",
        "--from",
        "2022-01-03",
        "--to",
        "2022-01-08",
        "--json",
        "--no-report",
    )

    assert code == 0, err
    assert json.loads(out)["n_variants"] == 486


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (SWEEP, 2, "Nothing to vary. Give --grid key=a,b,c"),
        ((*SWEEP, *GRID, "--random", "3"), 2, "--grid, --random and --optuna exclude each other"),
        ((*SWEEP, "--search", "every_bars=2..8"), 2, "Add --random N or --optuna N"),
        ((*SWEEP, "--optuna", "8"), 2, "Nothing to search. Give --search"),
        ((*SWEEP, "--grid", "every_bar=2"), 2, "Did you mean 'every_bars'?"),
        ((*SWEEP, "--grid", "every_bars=0"), 2, "No variant of the grid is possible"),
        ((*SWEEP, *GRID, "--executor", "cloud"), 2, "There is no executor 'cloud'"),
        ((*SWEEP, "--resume", "nothing"), 3, "holds no sweep that can be resumed"),
        ((*WALK, *GRID), 3, "too little to train on 12 months"),
        ((*WALK, *GRID, *WINDOWS, "--step", "1w"), 2, "the same bars would be tested twice"),
        ((*WALK, *GRID, *WINDOWS, "--train", "9x"), 2, "'9x' is no length"),
        ((*WALK, *GRID, *WINDOWS, "--weights", "best"), 2, "'equal' or 'inverse_volatility'"),
        ((*WALK, *GRID, *WINDOWS[:-4], "--min-trades", "9999"), 2, "No variant was eligible"),
        (("compare", "one", "two"), 3, "There is no run 'one'"),
    ],
)
def test_a_mistake_ends_with_its_exit_code_and_says_what_to_do(tradesentry, line, code, message):
    got, _, err = tradesentry(*line)

    assert got == code, err
    assert message in err
    assert "Traceback" not in err


def test_a_walk_forward_shows_its_folds_and_its_verdict(tradesentry, tmp_path):
    code, out, err = tradesentry(*WALK, *GRID, *WINDOWS, "--costs", "0,1")

    (folder,) = folders(tmp_path)
    assert code == 0, err
    assert "rolling folds, train 9w, test 2w, embargo 1d; grid; top 1 per market; local" in err
    assert out.splitlines()[0].split("\t")[:4] == ["fold", "test", "eligible", "chosen"]
    assert "Rank correlation of train and test across variants" in err
    assert (folder / "walk-forward.json").is_file()
    assert json.loads((folder / "walk-forward.json").read_text())["state"] == "finished"


def test_a_walk_forward_prints_one_document(tradesentry):
    code, out, err = tradesentry(*WALK, *GRID, *WINDOWS, "--json", "--no-report")

    document = json.loads(out)
    assert code == 0, err
    assert len(document["folds"]["fold"]) >= 1
    assert document["evidence"]["n_trials"] == 6
    assert document["summary"]["n_trades"] > 0


def test_two_studies_can_be_compared_and_listed(tradesentry, tmp_path):
    tradesentry(*SWEEP, *GRID, "--no-report")
    tradesentry(*SWEEP, "--grid", "every_bars=2", "--no-report")
    first, second = (folder.name for folder in folders(tmp_path))

    code, out, err = tradesentry("compare", first, second)
    listed = tradesentry("runs", "list", "--json")
    document = json.loads(tradesentry("compare", first, second, "--json")[1])

    assert code == 0, err
    assert out.splitlines()[0].split("\t") == ["metric", "first", "second", "difference", "unit"]
    assert out.strip().splitlines()[-1] == document["verdict"]
    assert {row["run"] for row in json.loads(listed[1])} == {first, second}


def start(tmp_path, *line):
    """Start a sweep in a process of its own and return it once it has filed work."""
    command = [sys.executable, "-c", INTERRUPTIBLE, "sweep", "breakout", "--symbols", "EURUSD", *PERIOD]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "runs"), "--no-report", "--workers", "1", *line],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for text in process.stderr:
        if "plays/s" in text:
            break
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_sweep_goes_on_where_it_was(tradesentry, tmp_path, how):
    grid = ("--grid", "or_minutes=15,30,60", "--grid", "target=1,2,off", "--grid", "entry_mode=close,stop,retest")
    process = start(tmp_path, *grid)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    (folder,) = folders(tmp_path)

    resume = ("sweep", "breakout", "--resume", folder.name, "--json", "--no-report")
    unfinished = tradesentry("runs", "list")[2]
    code, out, _ = tradesentry(*resume)
    document = json.loads(out)
    again = json.loads(tradesentry(*resume)[1])

    if how == signal.SIGINT and process.returncode == 130:
        assert f"tradesentry sweep breakout --resume {folder.name}" in err
    assert f"unfinished: tradesentry sweep breakout --resume {folder.name}" in unfinished
    assert code == 0
    assert document["n_variants"] == 27
    assert document["study"]["reused"] >= 1
    assert again["study"]["bars"] == 0
    assert again["best"] == document["best"]
    assert not list((tmp_path / "runs").rglob(".new-*"))

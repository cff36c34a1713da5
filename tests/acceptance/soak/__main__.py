"""`python -m tests.acceptance.soak`: soak once, or every mutant; print the table; exit 1 on any miss."""

import argparse
import sys
from dataclasses import replace

from tests.acceptance.soak.report import judge, print_report, run_mutants
from tests.acceptance.soak.settings import Chaos, Minimums, SoakSettings, Times


def settings_of(args: argparse.Namespace) -> SoakSettings:
    """Return the soak that the command line asks for."""
    seed = random_seed() if args.seed == "random" else int(args.seed)
    kills = args.kills or round(2.5 * args.seconds)
    chaos = Chaos(life_seconds=0.25, deaths_per_second=1.15 * kills / args.seconds)
    share = args.least * args.seconds / 60.0
    orders, takeovers, fives = round(600 * share), round(20 * share), round(5 * share)
    minimums = Minimums(round(args.least * kills), orders, takeovers, postmaster_kills=fives, hits=fives)
    # A terminal answers one call at a time, and a command takes some dozens.
    times = Times().slowed(args.slow * (2.0 if args.broker == "gateway" else 1.0))
    return SoakSettings(
        seconds=args.seconds,
        requests=args.requests,
        seed=seed,
        broker=args.broker,
        chaos=chaos,
        minimums=minimums,
        times=times,
    )


def random_seed() -> int:
    """Return a seed that nobody chose; it is printed."""
    return int.from_bytes(__import__("os").urandom(4))


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=0, help="fewest kills; default 2.5 a second")
    parser.add_argument("--seed", default="1", help="a number, or random")
    parser.add_argument("--broker", choices=("oanda", "gateway", "paper"), default="oanda")
    parser.add_argument("--mutants", nargs="*", metavar="M0", help="run these mutants, all when none is named")
    parser.add_argument("--controls", action="store_true", help="let the trader as it is pass the mutants' faults")
    parser.add_argument("--slow", type=float, default=1.0, help="stretch the scaled times on a busy machine")
    parser.add_argument("--least", type=float, default=1.0, help="share of the least counts of A3 that is asked for")
    parser.add_argument(
        "--requests", type=int, default=0, help="go on, up to six times as long, until there were so many"
    )
    parser.add_argument("--keep", action="store_true", help="keep the files")
    args = parser.parse_args()
    settings = settings_of(args)
    if args.mutants is not None:
        calm = replace(settings, minimums=Minimums(0, 0, 0, 0, 0), chaos=Chaos(), requests=args.requests or 250)
        return run_mutants(calm, args.mutants, controls=args.controls)
    verdict = judge(settings, keep=args.keep)
    print_report(verdict)
    return 0 if verdict.is_passed else 1


if __name__ == "__main__":
    sys.exit(main())

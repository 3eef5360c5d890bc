"""Write the report of a trip: one page that opens anywhere, without a network, and a PDF if wanted.

DIR is what `cargobox replay LOG --out DIR` wrote. Where it holds many trips, or a sweep, each gets its page,
and DIR one that shows all of them, the worst first.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from agent.config import load_config
from agent.errors import FourPartError, UsageError
from agent.report import PDF_FILE, REPORT_FILE, is_trip, trips_below, write_overview, write_report


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `cargobox replay --out DIR` wrote")
    parser.add_argument(
        "--log", type=Path, metavar="LOG", help="the log of the trip; default: the one that was replayed"
    )
    parser.add_argument("--map", type=Path, metavar="MAP", help="what the columns of that log are (TOML)")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="bands and certificates of a replay by an older version; newer ones keep theirs in DIR",
    )
    parser.add_argument("--pdf", action="store_true", help=f"also {PDF_FILE}, for the customer's file")
    parser.add_argument(
        "--json", action="store_true", help="what was written, as one JSON document on stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Write it."""
    config = None if args.config is None else load_config(args.config)
    try:
        if is_trip(args.folder) or not trips_below_safely(args.folder):
            page = write_report(args.folder, log=args.log, map_path=args.map, config=config, pdf=args.pdf)
            written = [page, *([args.folder / PDF_FILE] if args.pdf else [])]
        elif args.log is not None:
            raise UsageError(
                "reading --log",
                got=f"one log, and a folder of many trips: {args.folder}",
                expected="the folder of that log's trip",
                remedy="Name that folder, or leave --log away: each trip knows its own log.",
            )
        else:
            page = write_overview(
                args.folder, config=config, pdf=args.pdf, on_trip=lambda name: print(name, file=sys.stderr)
            )
            written = [page]
    except OSError as error:
        raise FourPartError(
            f"writing the report into {args.folder}",
            got=error.strerror or str(error),
            expected="a folder that this user may write to, with room for some megabytes",
            remedy=f"Check the permissions and free space (`df -h`). Nothing of {REPORT_FILE} was changed.",
        ) from error
    if args.json:
        print(json.dumps({"written": [{"file": str(p), "bytes": p.stat().st_size} for p in written]}))
    else:
        for path in written:
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


def trips_below_safely(folder: Path) -> list[Path]:
    """Return the trips below a folder; none where there is no such folder."""
    return trips_below(folder) if folder.is_dir() else []

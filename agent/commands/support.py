"""One archive for a bug report: versions, configuration, what the doctor finds, the log; never a secret.

Needs neither root nor an agent that runs; what this user may not read is left out and said. The cargo's data
is left out, too, unless asked for.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from agent.errors import FourPartError
from agent.installation.units import CONFIGURATION
from agent.support.archive import subject_of, write_archive


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=CONFIGURATION, help=f"default: {CONFIGURATION}"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: cargobox-support-DATE.tar.gz here")
    parser.add_argument("--with-data", action="store_true", help="records that wait for the broker, too")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Write the archive."""
    out = args.out or Path(time.strftime("cargobox-support-%Y%m%d-%H%M%S.tar.gz"))
    try:
        parts = write_archive(out, subject_of(args.config), with_data=args.with_data)
    except OSError as error:
        raise FourPartError(
            f"writing {out}",
            got=error.strerror or str(error),
            expected="a new file in a folder that this user may write to",
            remedy="Choose another place with --out.",
        ) from error
    size_bytes = out.stat().st_size
    if args.json:
        print(json.dumps({"file": str(out), "bytes": size_bytes, "parts": parts}))
    else:
        print(
            f"{out}: {size_bytes / 1024:.0f} KiB. Read it before you send it: README.txt says what is in it"
        )
    return 0

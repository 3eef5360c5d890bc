"""Record the raw streams of a box, and of this computer's own sensors, to an MCAP log.

Until Ctrl-C, or for --seconds N. The log holds every sample as the sensors gave it, so that `cargobox
replay LOG` is the live run again. A port or a bus belongs to one program: while the agent runs, let it
record itself with `cargobox run --record`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from agent.blocks import Block
from agent.commands.run import check_seconds, recorder_factory
from agent.commands.source import source_of
from agent.config import Config, load_config
from agent.timebase import new_boot_id

TELL_EVERY_S = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, required=True, metavar="LOG", help="the log to write (.mcap)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (TOML)")
    parser.add_argument("--port", metavar="PORT", help="serial port, instead of the configured one")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after N seconds of data")
    parser.add_argument("--json", action="store_true", help="what was recorded, as one JSON document")


def run(args: argparse.Namespace) -> int:
    """Record; 1 when samples were missing."""
    check_seconds(args.seconds)
    config: Config = load_config(args.config)
    make_recorder = recorder_factory(args.out, config)
    source = source_of(config, args.config, args.port)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    samples: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    expected: dict[str, int] = {}
    first_ns = last_ns = 0
    try:
        specs = source.open()
        recorder = make_recorder(specs, new_boot_id(), source.mount_up)
        told_s = time.monotonic()
        try:
            for item in source.items(stop):
                recorder.write(item)
                if not isinstance(item, Block):
                    continue
                missing[item.stream] += item.first - expected.get(item.stream, 0)
                expected[item.stream] = item.end
                samples[item.stream] += len(item)
                first_ns = first_ns or item.start_ns
                last_ns = max(last_ns, item.last_ns)
                if args.seconds is not None and last_ns - first_ns >= args.seconds * 1e9:
                    stop.set()
                if sys.stderr.isatty() and time.monotonic() - told_s > TELL_EVERY_S:
                    told_s = time.monotonic()
                    print(f"\r{_line(samples, missing, last_ns - first_ns)}", end="", file=sys.stderr)
        finally:
            recorder.close()
    finally:
        source.close()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    document = {
        "log": str(args.out),
        "duration_s": round((last_ns - first_ns) / 1e9, 3),
        "samples": sum(samples.values()),
        "missing_samples": sum(missing.values()),
        "streams": {name: {"samples": n, "missing": missing[name]} for name, n in samples.items()},
        "bytes": args.out.stat().st_size,
    }
    if args.json:
        print(json.dumps(document))
    else:
        print(f"{args.out}: {_line(samples, missing, last_ns - first_ns)}", file=sys.stderr)
    return 1 if any(missing.values()) else 0


def _line(samples: Counter[str], missing: Counter[str], span_ns: int) -> str:
    return (
        f"{span_ns / 1e9:8.1f} s, {sum(samples.values()):,} samples of {len(samples)} streams, "
        f"{sum(missing.values())} missing"
    )

"""Replay logs through the same pipeline as the live agent.

Writes DIR/records.jsonl (what the agent would have published) and DIR/summary.json. Several logs get
a folder each in DIR, and a summary of all. A log that cannot be read is reported and the rest goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.commands import progress
from agent.config import Config, load_config
from agent.errors import ConfigError, FourPartError, LogFileError, UsageError
from agent.records import Record
from agent.replay.runner import Interrupted, ReplayOptions, Summary, replay_log, write_summary
from agent.sources.log_file import WITH_MAP


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help=".csv (with --map) or .mcap")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's configuration (TOML)")
    parser.add_argument("--map", type=Path, metavar="MAP", help="what the columns of a CSV are (TOML)")
    parser.add_argument("--speed", type=float, metavar="X", help="X times real time; default: flat out")
    parser.add_argument("--publish", action="store_true", help="send the records to the broker as well")
    parser.add_argument(
        "--block-samples", type=int, metavar="N", help="cut into blocks of N samples; changes no result"
    )
    parser.add_argument("--json", action="store_true", help="the summary as one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Replay, one log after the other; 1 when any could not be read, or not wholly."""
    if args.speed is not None and not args.speed > 0:
        raise UsageError(
            "reading --speed", got=f"{args.speed}", expected="a number above 0", remedy="1 is real time."
        )
    if args.map is not None and not any(log.suffix.lower() in WITH_MAP for log in args.logs):
        raise UsageError(
            "reading --map",
            got="a map, and no log that has columns to map",
            expected=f"a log that ends in {' or '.join(sorted(WITH_MAP))}",
            remedy="Leave --map away: the log says itself what is in it.",
        )
    config = load_config(args.config)
    options = ReplayOptions(map_path=args.map, block_samples=args.block_samples, speed=args.speed)
    folders = _folders(args.logs, args.out)
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    done: dict[str, Summary] = {}
    failed: dict[str, FourPartError] = {}
    with _publisher(config, wanted=args.publish) as publish:
        for log, folder in folders:
            try:
                with progress.bar(str(log)) as on_progress:
                    done[str(log)] = replay_log(
                        log, folder, config, options, stop=stop, on_progress=on_progress, on_records=publish
                    )
            except Interrupted:
                print(f"stopped in {log}; {folder} holds no finished result of it", file=sys.stderr)
                return 130
            except (LogFileError, UsageError, ConfigError) as error:
                if len(folders) == 1:
                    raise
                failed[str(log)] = error
                print(f"error: {error}", file=sys.stderr)
            else:
                _tell(log, folder, done[str(log)])
                if done[str(log)]["damaged"]:
                    failed[str(log)] = _damaged(log, done[str(log)])
                    print(f"error: {failed[str(log)]}", file=sys.stderr)
    document: dict[str, Any] = next(iter(done.values()), {})
    if len(folders) > 1:
        document = _together(done, failed)
        write_summary(args.out, document)
    if args.json:
        print(json.dumps(document))
    return 1 if failed else 0


def _damaged(log: Path, summary: Summary) -> LogFileError:
    """Return the error of a log of which a part could not be read; the rest was replayed."""
    return LogFileError(
        f"replaying {log}",
        got=f"a damaged file, of which {summary['samples']:,} samples could be read (see the notes)",
        expected="a whole log",
        remedy="What could be read was replayed. If there is another copy, replay that.",
    )


def _folders(logs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Return the folder of each log: `out` itself for a single one, else one by the log's name."""
    if len(logs) == 1:
        return [(logs[0], out)]
    taken: Counter[str] = Counter()
    folders = []
    for log in logs:
        taken[log.stem] += 1
        suffix = f"-{taken[log.stem]}" if taken[log.stem] > 1 else ""
        folders.append((log, out / f"{log.stem}{suffix}"))
    return folders


def _together(done: dict[str, Summary], failed: dict[str, FourPartError]) -> dict[str, Any]:
    events: Counter[str] = Counter()
    for summary in done.values():
        events.update(summary["events"])
    raw, published = (sum(s[k] for s in done.values()) for k in ("raw_bytes", "published_bytes"))
    return {
        "logs": done,
        "failed": {log: str(error) for log, error in failed.items()},
        "duration_s": round(sum(s["duration_s"] for s in done.values()), 6),
        "wall_s": round(sum(s["wall_s"] for s in done.values()), 3),
        "samples": sum(s["samples"] for s in done.values()),
        "gaps": sum(s["gaps"] for s in done.values()),
        "missing_samples": sum(s["missing_samples"] for s in done.values()),
        "raw_bytes": raw,
        "published_bytes": published,
        "upload_ratio": round(published / raw, 6) if raw else 0.0,
        "events": dict(sorted(events.items())),
    }


def _tell(log: Path, folder: Path, summary: Summary) -> None:
    """Say in words what came of a log."""

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    events = ", ".join(f"{n} {kind}" for kind, n in summary["events"].items()) or "none"
    say(
        f"{log}: {summary['duration_s']:.1f} s in {summary['wall_s']:.2f} s "
        f"({summary['realtime_factor']:.0f} × real time)"
    )
    say(f"  events     {events}")
    say(f"  gaps       {summary['gaps']} ({summary['missing_samples']} samples missing)")
    say(
        f"  published  {summary['published_bytes']:,} of {summary['raw_bytes']:,} bytes "
        f"({100 * summary['upload_ratio']:.1f} %)"
    )
    for note in summary["notes"]:
        say(f"  note       {note}")
    say(f"  written    {folder}")


@contextlib.contextmanager
def _publisher(config: Config, *, wanted: bool) -> Iterator[Callable[[Sequence[Record]], None]]:
    """Yield what takes records; with `wanted`, it sends them to the broker and waits until all arrived."""
    if not wanted:
        yield lambda _: None
        return
    from agent.commands.publish import publishing

    with publishing(config) as publish:
        yield publish

"""Replay logs through the same pipeline as the live agent.

Writes DIR/records.jsonl (what the agent would have published) and DIR/summary.json. Several logs, a folder
or a glob get a folder each in DIR, and a summary of all. A log that cannot be read is reported and the rest
goes on. With --sweep, each combination of settings has a folder, and DIR/sweep.csv and sweep.json the table.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.certificates import Certificates, at_hand
from agent.commands import replay_words as words
from agent.config import Config, load_config
from agent.errors import LogFileError, UsageError
from agent.records import Record
from agent.replay.batch import Hand, Here, in_order
from agent.replay.job import CarriedCertificates, Job, Outcome, Told, do
from agent.replay.runner import SUMMARY_FILE, Interrupted, Summary, write_json, write_summary
from agent.replay.selection import Chosen, Selection, select
from agent.replay.settings import replayed_part
from agent.replay.sweep import (
    SWEEP_CSV,
    SWEEP_JSON,
    Combination,
    combinations,
    document,
    in_words,
    parse_settings,
    rows,
    write_csv,
)
from agent.replay.totals import Totals, together
from calibration.certificate import Certificate
from calibration.store import read_kept


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("logs", nargs="+", type=Path, metavar="LOG", help="a log, a folder of logs, or a glob in quotes")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    add("--config", type=Path, metavar="FILE", help="the agent's configuration (TOML)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configuration, changed")
    add(
        "--certificate",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="correct by this certificate, in place of the configuration's for its stream; repeatable",
    )
    add("--map", type=Path, metavar="MAP", help="what the columns of a CSV are (TOML), or a folder of maps")
    add(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="replay with each of v1,v2,v3 or from:to:step; repeatable: a grid",
    )
    add("--workers", type=int, metavar="N", help="so many processes on this machine; default: 1")
    add("--cluster", metavar="ADDRESS", help="a Dask scheduler, as tcp://HOST:8786")
    add("--resume", action="store_true", help="leave what is done already, by the same software and settings")
    add("--report", action="store_true", help="write report.html as well")
    add("--speed", type=float, metavar="X", help="X times real time; default: flat out")
    add("--publish", action="store_true", help="send the records to the broker as well")
    add("--block-samples", type=int, metavar="N", help="cut into blocks of N samples; changes no result")
    add("--json", action="store_true", help="the summary as one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Replay; 1 when any log could not be read, or not wholly."""
    _check(args)
    changes = parse_settings(args.set)
    grid = combinations(args.sweep) if args.sweep else (Combination(Path(), {}),)
    given = _given(args.certificate)
    points = []
    for combination in grid:
        config = load_config(args.config, {**changes, **combination.values})
        points.append(_Point(combination, config, _with(given, at_hand(config))))
    selection = select(args.logs, out=args.out, maps=args.map)
    for left in selection.left_out:
        print(f"left out: {left}", file=sys.stderr)
    if args.report:
        import agent.report  # noqa: F401 - what is missing for it is said now, not after the last log
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    work = [
        _Work(_job(args, one, args.out / point.combination.folder, point), point)
        for point in points
        for one in selection.logs
    ]
    if selection.single and not args.sweep and not args.cluster:
        return _single(args, work[0], stop)
    return _many(args, points, work, stop, selection)


def _check(args: argparse.Namespace) -> None:
    def refuse(doing: str, got: str, expected: str, remedy: str) -> None:
        raise UsageError(doing, got=got, expected=expected, remedy=remedy)

    if args.speed is not None and not args.speed > 0:
        refuse("reading --speed", f"{args.speed}", "a number above 0", "1 is real time.")
    if args.workers is not None and args.workers < 1:
        refuse("reading --workers", f"{args.workers}", "at least 1", "As many as the machine has cores.")
    if args.workers is not None and args.cluster:
        refuse(
            "reading --cluster",
            "--workers as well",
            "one of them",
            "A cluster's workers are started by hand: `dask worker ADDRESS --nworkers N --nthreads 1`.",
        )
    if args.publish and (args.cluster or args.sweep or (args.workers or 1) > 1):
        refuse(
            "reading --publish",
            "a sweep, or replays side by side",
            "one replay after the other, each log once",
            "Leave --publish away, or --sweep, --workers and --cluster.",
        )


def _given(files: Sequence[Path]) -> tuple[Certificate, ...]:
    """Read ``--certificate``. Raises CertificateError, UsageError."""
    found = tuple(read_kept(path) for path in files)
    streams = [certificate.stream for certificate in found]
    for stream in streams:
        if streams.count(stream) > 1:
            raise UsageError(
                "reading --certificate",
                got=f"two for stream {stream!r}",
                expected="one a stream",
                remedy="Replay once with each, into two folders; `cargobox compare` says what differs.",
            )
    return found


def _with(given: tuple[Certificate, ...], configured: Certificates) -> Certificates:
    """Return what is configured, but for the streams of those that were given."""
    streams = {certificate.stream for certificate in given}
    others = (c for c in configured.named if c.stream not in streams)
    return dataclasses.replace(configured, named=(*given, *others))


@dataclass(frozen=True, slots=True)
class _Point:
    """A combination of settings, what it means, and what its logs came to."""

    combination: Combination
    config: Config
    certificates: Certificates
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True)
class _Work:
    """A job, and to which point it belongs."""

    job: Job
    point: _Point


def _job(args: argparse.Namespace, one: Chosen, out: Path, point: _Point) -> Job:
    return Job(
        name=str(one.log),
        log=str(one.log),
        out=str(out / one.folder),
        config=replayed_part(point.config),
        certificates=CarriedCertificates.of(point.certificates),
        map_path=str(one.map_path) if one.map_path else None,
        block_samples=args.block_samples,
        speed=args.speed,
        resume=args.resume,
    )


def _single(args: argparse.Namespace, work: _Work, stop: threading.Event) -> int:
    """Replay one log in this process, with all that can be said of it."""
    job, config = work.job, work.point.config
    with _publisher(config, wanted=args.publish) as publish, words.bar(1, job.name) as (progress, _):
        try:
            outcome = do(job, stop=stop, on_progress=lambda part: progress(0, part), on_records=publish)
        except Interrupted:
            print(f"stopped in {job.name}; {job.out} holds no finished result of it", file=sys.stderr)
            return words.EXIT_INTERRUPTED
    summary = outcome.summary
    assert summary is not None
    print(words.block(job.name, Path(job.out), summary, resumed=outcome.resumed), file=sys.stderr)
    if summary["damaged"]:
        print(f"error: {_damaged(job.name, summary)}", file=sys.stderr)
    if args.report:
        print(f"  report     {_report(work)}", file=sys.stderr)
    if args.json:
        print(json.dumps(summary))
    return int(summary["damaged"])


def _many(
    args: argparse.Namespace,
    points: Sequence[_Point],
    work: Sequence[_Work],
    stop: threading.Event,
    selection: Selection,
) -> int:
    """Replay many, side by side or one after the other, and write what they came to together."""
    for name in (SUMMARY_FILE, SWEEP_JSON, SWEEP_CSV):
        (args.out / name).unlink(missing_ok=True)  # they are of other results than those that come now
    told = 0
    with (
        _publisher(points[0].config, wanted=args.publish) as publish,
        words.bar(len(work), "replay") as (progress, say),
    ):

        def hear(place: int, outcome: Outcome) -> None:
            nonlocal told
            told += 1
            _hear(work[place], outcome, say)

        jobs = [one.job for one in work]
        try:
            in_order(_hand(args, publish), jobs, stop=stop, told=hear, bar=progress)
        except Interrupted:
            say(f"stopped: {told} of {len(jobs)} are done and nothing is half; --resume does the others")
            return words.EXIT_INTERRUPTED
    return _sum_up(args, points, work, selection)


def _hear(work: _Work, outcome: Outcome, say: words.Say) -> None:
    """Note and tell what came of a job."""
    job, totals = work.job, work.point.totals
    if outcome.trace:
        say(outcome.trace)
    error = outcome.error
    if outcome.summary is not None:
        totals.done[job.name] = outcome.summary
        say(words.line(job.name, Path(job.out), outcome.summary, resumed=outcome.resumed))
        if outcome.summary["damaged"]:
            error = Told.of(_damaged(job.name, outcome.summary))
    if error is not None:
        totals.failed[job.name] = str(error)
        say(f"error: {error}")


def _sum_up(
    args: argparse.Namespace, points: Sequence[_Point], work: Sequence[_Work], selection: Selection
) -> int:
    """Write the summaries and the table of a sweep."""
    for point in points:
        if not selection.single:
            totals = {**together(point.totals), "left_out": list(selection.left_out)}
            write_summary(args.out / point.combination.folder, totals)
    told: dict[str, Any]
    if args.sweep:
        told = document([(point.combination, point.totals) for point in points])
        write_json(args.out / SWEEP_JSON, told)
        write_csv(args.out / SWEEP_CSV, rows(told))
        print(in_words(told), file=sys.stderr if args.json else sys.stdout)
    elif selection.single:
        told = next(iter(points[0].totals.done.values()), {})
    else:
        told = {**together(points[0].totals), "left_out": list(selection.left_out)}
        print(f"{words.sums(told)}\n  written    {args.out}", file=sys.stderr)
    if args.report and any(point.totals.done for point in points):
        _report_all(args, work, selection)
    if args.json:
        print(json.dumps(told))
    return int(any(point.totals.failed for point in points))


def _report_all(args: argparse.Namespace, work: Sequence[_Work], selection: Selection) -> None:
    """Write a page for each log and one of all."""
    if selection.single and not args.sweep:
        page = _report(work[0])
    else:
        from agent.report import write_overview

        page = write_overview(args.out)
    print(f"  report     {page}", file=sys.stderr)


def _hand(args: argparse.Namespace, publish: Callable[[Sequence[Record]], None]) -> Hand:
    if args.cluster:
        from agent.replay.cluster import Cluster

        return Cluster(args.cluster, args.out)
    if (args.workers or 1) > 1:
        from agent.replay.workers import Workers

        return Workers(args.workers)
    return Here(publish)


def _damaged(log: str, summary: Summary) -> LogFileError:
    """Return the error of a log of which a part could not be read; the rest was replayed."""
    return LogFileError(
        f"replaying {log}",
        got=f"a damaged file, of which {summary['samples']:,} samples could be read (see the notes)",
        expected="a whole log",
        remedy="What could be read was replayed. If there is another copy, replay that.",
    )


def _report(work: _Work) -> Path:
    """Write the page of a log, and return where it is."""
    from agent.report import write_report

    job = work.job
    map_path = Path(job.map_path) if job.map_path else None
    page: Path = write_report(Path(job.out), log=Path(job.log), map_path=map_path)
    return page


@contextlib.contextmanager
def _publisher(config: Config, *, wanted: bool) -> Iterator[Callable[[Sequence[Record]], None]]:
    """Yield what takes records; with `wanted`, it sends them to the broker and waits until all arrived."""
    if not wanted:
        yield lambda _: None
        return
    from agent.commands.publish import publishing

    with publishing(config) as publish:
        yield publish

"""Look at the durable queue, also beside a running agent: nothing here locks, repairs or writes it.

stats    how much waits, how old, how large
list     what waits, oldest first
export   what waits, to a file, in the form of a replay's records.jsonl
verify   every byte read and checked; 1 if anything is damaged
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from agent.config import load_config
from agent.errors import OutboxError, UsageError
from agent.outbox.documents import Waiting
from agent.outbox.inspect import iter_waiting, outbox_stats, verify
from agent.records import as_json, decode

MiB = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-verbs."""
    parser.add_argument("what", choices=("stats", "list", "export", "verify"))
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration that names the outbox")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="the outbox's folder, instead of --config")
    parser.add_argument("--limit", type=int, metavar="N", help="list: at most N records")
    parser.add_argument("--out", type=Path, metavar="FILE", help="export: where to; default: stdout")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 when something is wrong with the outbox."""
    if args.dir is not None and args.config is not None:
        raise UsageError(
            "reading the command line", got="--dir and --config", expected="one of them", remedy="Drop one."
        )
    if args.limit is not None and args.limit < 0:
        raise UsageError(
            "reading --limit", got=f"{args.limit}", expected="0 or more", remedy="Leave it away to see all."
        )
    if args.what == "export" and args.json and args.out is None:
        raise UsageError(
            "reading the command line",
            got="export --json without --out",
            expected="a file for the records, since stdout is for the one document",
            remedy="Add --out FILE; or drop --json, and the records come line by line.",
        )
    directory = args.dir or Path(load_config(args.config).outbox.directory)
    action = {"stats": _stats, "list": _list, "export": _export, "verify": _verify}[args.what]
    return action(args, directory)


def _stats(args: argparse.Namespace, directory: Path) -> int:
    stats = outbox_stats(directory)
    if args.json:
        print(json.dumps(stats))
        return 0
    kinds = ", ".join(f"{n} {kind}" for kind, n in stats["waiting_by_kind"].items()) or "nothing"
    print(f"{directory}")
    print(f"  waiting    {stats['waiting']:,} ({kinds})")
    print(f"  oldest     {stats['oldest_t'] or '-'}")
    print(f"  on disk    {stats['bytes'] / MiB:.2f} MiB in {stats['segments']} segments")
    print(f"  set aside  {stats['set_aside']} refused by the broker")
    print(f"  in use     {'by process ' + str(stats['in_use_by_pid']) if stats['in_use_by_pid'] else 'no'}")
    return 0


def _document(waiting: Waiting) -> dict[str, Any]:
    return {"topic": waiting.topic, "qos": 1, "payload": msgspec.Raw(as_json(waiting.payload))}


def _list(args: argparse.Namespace, directory: Path) -> int:
    found = itertools.islice(iter_waiting(directory), args.limit)
    if args.json:
        print(msgspec.json.encode([_document(w) for w in found]).decode())
        return 0
    for waiting in found:
        payload = decode(waiting.payload)
        what = " ".join(str(payload[k]) for k in ("type", "phase", "stream", "reason") if k in payload)
        print(f"{payload['t']}  {payload['boot']} {payload['seq']:>8}  {waiting.kind:8}  {what}")
    return 0


def _export(args: argparse.Namespace, directory: Path) -> int:
    count = 0
    if args.out is None:
        for waiting in iter_waiting(directory):
            sys.stdout.buffer.write(msgspec.json.encode(_document(waiting)) + b"\n")
        sys.stdout.buffer.flush()
        return 0
    part = args.out.with_name(f"{args.out.name}.part")
    try:
        with part.open("wb") as file:
            for waiting in iter_waiting(directory):
                file.write(msgspec.json.encode(_document(waiting)) + b"\n")
                count += 1
        os.replace(part, args.out)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OutboxError(
            f"exporting {directory} to {args.out}",
            got=str(error.strerror),
            expected="a file that can be written",
            remedy="Choose another place with --out.",
        ) from error
    if args.json:
        print(json.dumps({"exported": count, "file": str(args.out)}))
    else:
        print(f"{count} records in {args.out}; they still wait in the outbox", file=sys.stderr)
    return 0


def _verify(args: argparse.Namespace, directory: Path) -> int:
    verdict = verify(directory)
    if args.json:
        print(json.dumps(verdict.as_dict()))
    else:
        print(f"{directory}: {'sound' if verdict.sound else 'DAMAGED'}; {verdict.waiting} records waiting")
        for finding in verdict.findings:
            print(f"  {finding}")
    return 0 if verdict.sound else 1

"""Two runs side by side: what appeared, vanished, moved or changed from A to B, most important first.

A and B are folders of `replay`, folders with many logs (matched by name), or files of records. Exit status 0:
no difference, 1: some, 2: the question cannot be answered.

A tolerance is KEY=AMOUNT in the key's own unit (times: seconds) or KEY=PERCENT%; `loose` is time=0.1, *=1%.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.commands.compare_runs import Place, opened, places
from agent.commands.compare_words import MOST_TOLD, report
from agent.compare import LOOSE, CompareSettings, Comparison, Difference, Rules, Tolerance, compare
from agent.errors import UsageError
from agent.timebase import rfc3339
from agent.typed_toml import read_table, typed

REMEDY = "docs/replay.md, Compare, has an example."
NARROWEST = 60
LOOSE_WORD = "loose"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("a", type=Path, metavar="A", help="a folder of `replay`, or a file of records")
    parser.add_argument("b", type=Path, metavar="B", help="the other one")
    parser.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="KEY=AMOUNT",
        help="let so much pass: height_m=0.05, '*_mps2=2%%', time=0.1; or `loose`; may be given again",
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="KEY", help="leave a key, type or kind out; again"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="tolerances and the like from a TOML file"
    )
    parser.add_argument("--most", type=int, default=MOST_TOLD, metavar="N", help="differences told a log")
    parser.add_argument("--json", action="store_true", help="everything as one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Compare; 1 where anything differs."""
    rules = rules_of(args)
    a, b = places(args.a), places(args.b)
    if len(a) == len(b) == 1:  # a file against a folder, or folders that are named otherwise: they are meant
        a, b = {"": next(iter(a.values()))}, {"": next(iter(b.values()))}
    lone = {"a": sorted(a.keys() - b.keys()), "b": sorted(b.keys() - a.keys())}
    if not a.keys() & b.keys():
        raise UsageError(
            "matching the logs of A and B by their names",
            got=f"{', '.join(lone['a'][:3])} in A, {', '.join(lone['b'][:3])} in B",
            expected="at least one name in both",
            remedy="Name the two folders of one log, or replay the same logs twice.",
        )
    documents: dict[str, Any] = {}
    width = max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    colour = width is not None and not os.environ.get("NO_COLOR")
    equal = not any(lone.values())
    same = 0
    for name in sorted(a.keys() & b.keys()):
        result = _compared(a[name], b[name], rules)
        equal = equal and result.equal
        if args.json:
            documents[name] = document_of(result)
        elif result.equal and len(a) > 1:
            same += 1
        else:
            print("\n".join(report(result, name, width=width, colour=colour, most=max(0, args.most))))
    if args.json:
        print(json.dumps({"equal": equal, "only_in": lone, "logs": documents}))
    else:
        print("\n".join(_ending(lone, same)), end="\n" if same or any(lone.values()) else "")
    for pattern in rules.unused():
        print(f"note: nothing is called {pattern!r}, for --tolerance or --ignore", file=sys.stderr)
    return 0 if equal else 1


def _compared(a: Place, b: Place, rules: Rules) -> Comparison:
    with opened(a) as one, opened(b) as other:
        return compare(one, other, rules)


def _ending(lone: Mapping[str, list[str]], same: int) -> Iterator[str]:
    for side, names in lone.items():
        for name in names:
            yield f"{name or 'the folder itself'}: only in {side.upper()}"
    if same:
        yield f"{same} log{' is' if same == 1 else 's are'} without a difference"


def rules_of(args: argparse.Namespace) -> Rules:
    """Return what the command line and its file let pass. Raises UsageError and ConfigError."""
    settings = CompareSettings()
    if args.config is not None:
        doing = f"reading {args.config}"
        table = read_table(args.config, what="rules of the comparison", remedy=REMEDY)
        settings = typed(table, CompareSettings, doing=doing, remedy=REMEDY)
    given = [(key, str(amount)) for key, amount in settings.tolerance.items()]
    for text in args.tolerance:
        key, equals, amount = text.rpartition("=")
        if text == LOOSE_WORD:
            given = [*LOOSE.items(), *given]
        elif equals and key:
            given.append((key, amount))
        else:
            raise _wrong_tolerance(text)
    tolerances = {}
    for key, amount in given:
        try:
            tolerances[key] = Tolerance.parsed(amount)
        except ValueError:
            raise _wrong_tolerance(f"{key}={amount}") from None
    return Rules(tolerances, [*settings.ignore, *args.ignore], settings.window_s)


def _wrong_tolerance(text: str) -> UsageError:
    return UsageError(
        "reading --tolerance",
        got=repr(text),
        expected="KEY=AMOUNT, KEY=PERCENT%, or loose",
        remedy="For example: --tolerance height_m=0.05 --tolerance '*_mps2=2%'.",
    )


def document_of(result: Comparison) -> dict[str, Any]:
    """Return what came of a comparison as a document."""
    return {
        "equal": result.equal,
        "alike": result.alike,
        "within_tolerance": result.within,
        "windows": result.windows,
        "a": _side(result, 0),
        "b": _side(result, 1),
        "differences": [_told(one, result.first_ns) for one in result.found.in_order()],
        "left_out": result.found.left_out,
    }


def _side(result: Comparison, side: int) -> dict[str, Any]:
    one = result.sides[side]
    return {
        "records": dict(sorted(one.records.items())),
        "events": dict(sorted(one.events.items())),
        "json_bytes": one.bytes,
        "first": None if one.first_ns is None else rfc3339(one.first_ns),
        "last": None if one.last_ns is None else rfc3339(one.last_ns),
    }


def _told(one: Difference, first_ns: int | None) -> dict[str, Any]:
    at_ns = one.at_ns
    return {
        "what": one.what.value,
        "of": one.of,
        "name": one.name,
        "severity": one.severity or None,
        "alarm": one.alarm,
        "at": None if at_ns is None else rfc3339(at_ns),
        "into_trip_s": None if at_ns is None or first_ns is None else round((at_ns - first_ns) / 1e9, 6),
        "count": one.count,
        "among": one.among,
        "changes": [
            {
                **change.as_dict(),
                **{
                    side: rfc3339(value) if change.is_time and isinstance(value, int) else value
                    for side, value in (("a", change.a), ("b", change.b))
                },
            }
            for change in one.changes
        ],
        "words": one.words,
    }

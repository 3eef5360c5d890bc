"""Many logs to one format: a folder of results, and ``converted.jsonl`` in it, a line for each that is done.

A log that cannot be read, or not wholly, is told of and the rest goes on. By the line of a result it is known
again: the same log, map and options, the same bytes; `--resume` leaves it as it is. Nothing else is replaced.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.commands import replay_words as words
from agent.commands.convert_one import Task, Wish, check_free, convert
from agent.errors import LogFileError, UsageError
from agent.replay.job import content_of, told_of
from agent.replay.selection import Chosen, Selection, select
from agent.replay.software import software
from agent.sources.log_file import FOLDER, choice_of

JOURNAL = "converted.jsonl"


@dataclass(slots=True)
class _Totals:
    """What came of the logs, by name."""

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """The error of each log that could not be read, or not wholly."""


def run(
    logs: Sequence[Path],
    out: Path,
    suffix: str,
    maps: Path | None,
    wish: Wish,
    *,
    resume: bool,
    as_json: bool,
) -> int:
    """Convert all; 1 when any log could not be read, or not wholly."""
    _check_folder(logs, out)
    selection = select(logs, out=out, maps=maps)
    for left in selection.left_out:
        print(f"left out: {left}", file=sys.stderr)
    tasks = [_task_of(one, out, suffix) for one in selection.logs]
    _check_choice(tasks, wish)
    if not resume and not wish.force:
        _check_names(tasks)
    out.mkdir(parents=True, exist_ok=True)
    known = _journal(out)
    totals = _Totals()
    with words.bar(len(tasks), "convert") as (progress, say):
        for place, task in enumerate(tasks):

            def on_progress(part: float, place: int = place) -> None:
                progress(place, part)

            try:
                _one(task, out, wish, known if resume else {}, totals, on_progress, say)
            except KeyboardInterrupt:
                say(
                    f"stopped: {place} of {len(tasks)} are done and nothing is half; --resume does the others"
                )
                return words.EXIT_INTERRUPTED
            progress(place, 1.0)
    _sum_up(totals, selection, out, as_json=as_json)
    return int(bool(totals.failed))


def _task_of(one: Chosen, out: Path, suffix: str) -> Task:
    folder = Path(one.log.stem) if one.folder == Path() else one.folder
    name = folder.name if suffix == FOLDER else f"{folder.name}{suffix}"
    return Task(one.log, out / folder.with_name(name), suffix, one.map_path)


def _check_folder(logs: Sequence[Path], out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"converting to {out} with --to",
            got="a file of this name",
            expected="a folder for the results, there or not",
            remedy="Name a folder, or leave --to away to write one file.",
        )
    inside = next((log for log in logs if log.is_dir() and out.resolve() == log.resolve()), None)
    if inside is not None:
        raise UsageError(
            f"converting to {out}",
            got="the folder of the logs itself",
            expected="another: the next run would take the results for logs",
            remedy="Name another folder; one within it will do.",
        )


def _check_choice(tasks: Sequence[Task], wish: Wish) -> None:
    if wish.take and not any(choice_of(task.log) for task in tasks):
        raise UsageError(
            "reading --take",
            got="a choice, and no log that has anything to choose among",
            expected="a recording of enDAQ, or a ROS bag",
            remedy="Leave --take away.",
        )


def _check_names(tasks: Sequence[Task]) -> None:
    taken = [path for task in tasks for path in task.taken]
    if taken:
        more = f", and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise UsageError(
            f"converting {len(tasks)} logs",
            got=f"{taken[0]}, which is there already{more}",
            expected="names that are free",
            remedy="--resume leaves what is done and does the others; --force replaces what is there.",
        )


def _one(
    task: Task,
    out: Path,
    wish: Wish,
    known: Mapping[str, dict[str, Any]],
    totals: _Totals,
    on_progress: Callable[[float], None],
    say: words.Say,
) -> None:
    """Convert one among many: whatever is wrong with it is said and keeps nobody from doing the others."""
    name, key = str(task.log), str(task.out.relative_to(out))
    wish = wish if choice_of(task.log) else replace(wish, take={})
    try:
        document = _done_before(task, known.get(key), wish)
        resumed = document is not None
        if document is None:
            document = _anew(task, out, key, wish, on_progress, known=key in known)
    except ModuleNotFoundError:
        raise  # an extra: it is told how to get it, once
    except Exception as error:  # whatever it is, the others are done
        wrong, is_ours = told_of(error, f"converting {name}", "converted")
        if is_ours:
            say(traceback.format_exc())
        totals.failed[name] = str(wrong)
    else:
        totals.done[name] = {**document, "resumed": resumed}
        say(_line(document, resumed=resumed))
        if document["damaged"]:
            totals.failed[name] = str(_damaged(document))
    if name in totals.failed:
        say(f"error: {totals.failed[name]}")


def _anew(
    task: Task, out: Path, key: str, wish: Wish, on_progress: Callable[[float], None], *, known: bool
) -> dict[str, Any]:
    """Convert, and note that it is done."""
    # a table whose map had its name already when the run was killed
    unfinished = known and 0 < len(task.taken) < len(task.names)
    if task.taken and known and not wish.force and not unfinished:
        raise UsageError(
            f"converting {task.log}",
            got=f"{task.out}, made of another state of the log or its map, by other options or software, "
            "not verified, or changed since",
            expected="what this run would write",
            remedy="Say --force as well to replace it, or name another folder.",
        )
    task.out.parent.mkdir(parents=True, exist_ok=True)
    check_free(task, force=wish.force or unfinished)
    fingerprint = _fingerprint(task, wish)
    known_of_it = {"name": key, "fingerprint": fingerprint}

    def note(document: dict[str, Any], paths: Sequence[Path]) -> None:
        # before it has its name: stopped in between, --resume else found a file of which nothing was known
        known_of_it["sha256"] = _digest_of(paths)
        with (out / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**document, **known_of_it}) + "\n")

    return {**convert(task, wish, on_progress, note), **known_of_it}


def _journal(out: Path) -> dict[str, dict[str, Any]]:
    """Return what was noted of each result; a line that was cut off says nothing."""
    known: dict[str, dict[str, Any]] = {}
    try:
        lines = (out / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            noted = json.loads(line)
            known[noted["name"]] = noted
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _done_before(task: Task, noted: Mapping[str, Any] | None, wish: Wish) -> dict[str, Any] | None:
    """Return what was noted of a result, if it is of the same, all there, unchanged, and verified."""
    if noted is None or not all(path.exists() for path in task.names):
        return None
    if wish.verify and noted.get("verified") is None:
        return None
    if noted.get("fingerprint") != _fingerprint(task, wish) or noted.get("sha256") != _digest_of(task.names):
        return None
    return dict(noted)


def _fingerprint(task: Task, wish: Wish) -> str:
    """Return a digest of all that a result depends on."""
    digest = hashlib.sha256()
    for path in (task.log, task.map_path):
        digest.update((content_of(path) if path else "none").encode() + b"\n")
    digest.update(json.dumps([task.suffix, wish.strict, sorted(wish.take.items()), software()]).encode())
    return digest.hexdigest()


def _digest_of(names: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in names:
        digest.update(content_of(path).encode() + b"\n")
    return digest.hexdigest()


def _line(document: Mapping[str, Any], *, resumed: bool) -> str:
    how = "done before" if resumed else "verified" if document["verified"] is not None else "not verified"
    notes = f", {len(document['notes'])} notes" if document["notes"] else ""
    return (
        f"{document['in']}: {document['samples']:,} samples, {how}{notes} -> "
        f"{document['out']} ({document['bytes']:,} bytes)"
    )


def _damaged(document: Mapping[str, Any]) -> LogFileError:
    """Return the error of a log of which a part could not be read; the rest was converted."""
    return LogFileError(
        f"converting {document['in']}",
        got=f"a damaged file, of which {document['samples']:,} samples could be read: "
        f"{' '.join(document['notes'])}",
        expected="a whole log",
        remedy="What could be read was converted. If there is another copy, convert that.",
    )


def _sum_up(totals: _Totals, selection: Selection, out: Path, *, as_json: bool) -> None:
    """Say what came of all."""
    document = {
        "logs": totals.done,
        "failed": totals.failed,
        "left_out": list(selection.left_out),
        "samples": sum(one["samples"] for one in totals.done.values()),
        "bytes": sum(one["bytes"] for one in totals.done.values()),
    }
    if as_json:
        print(json.dumps(document))
    trouble = f", {len(totals.failed)} with errors (above)" if totals.failed else ""
    count = len(selection.logs)
    print(
        f"{count} log{'s' * (count != 1)}{trouble}: {document['samples']:,} samples\n"
        f"  written    {out} ({document['bytes']:,} bytes; notes on each in {JOURNAL})",
        file=sys.stderr,
    )

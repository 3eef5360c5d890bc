"""Which logs are meant by files, folders and globs, which map each takes, and where its results go.

    replay trips/ 'more/**/*.csv' --map maps/  ──►  Chosen(log, folder, map_path) …, and what was left out

A file that is named is replayed or fails. Of what a folder or a glob holds, logs are taken; a table without
a map is left out and said, since folders hold other tables, too.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError, did_you_mean
from agent.sources.log_file import FORMATS, WITH_MAP

BAG_FOLDER_MARK = "metadata.yaml"
SUFFIXES = " or ".join(sorted(suffix for suffix in FORMATS if suffix.startswith(".")))
MAP_LEVELS = 3  # so many folders above a log may give a map of --map FOLDER their name


@dataclass(frozen=True, slots=True)
class Chosen:
    """A log, the folder of its results within ``--out``, and its map."""

    log: Path
    folder: Path
    map_path: Path | None


@dataclass(frozen=True, slots=True)
class Selection:
    """The logs in the order in which they are reported, and in words what was found and left out."""

    logs: tuple[Chosen, ...]
    left_out: tuple[str, ...]

    @property
    def single(self) -> bool:
        """Whether one log was named by itself: its results stand in ``--out``, not in a folder of it."""
        return len(self.logs) == 1 and self.logs[0].folder == Path()


def select(words: Sequence[Path], *, out: Path, maps: Path | None) -> Selection:
    """Return what is to be replayed. Raises UsageError where a folder or a glob has no log."""
    chosen: list[Chosen] = []
    left_out: list[str] = []
    taken: Counter[Path] = Counter()
    seen: set[Path] = set()
    for word in words:
        if word.exists() and not (word.is_file() or word.is_dir()):
            raise UsageError(
                f"looking for logs in {word}",
                got="a pipe, a device or the like",
                expected="a file, a folder or a glob: a log is read more than once",
                remedy="Write it to a file first.",
            )
        named = _is_one(word)
        if not word.exists() and named and word.suffix.lower() not in FORMATS:
            named = False  # a slip in the name of a folder, rather
        before = len(left_out)
        found = [(word, Path(word.stem))] if named else list(_found(word, out, prefix=len(words) > 1))
        some = False
        for log, folder in found:
            if not named and log.resolve() in seen:
                some = True
                continue
            map_path = map_of(log, maps)
            if not named and not is_log(log):
                left_out.append(f"{log}: no log by its name")
            elif not named and log.suffix.lower() in WITH_MAP and map_path is None:
                left_out.append(f"{log}: a {log.suffix} without a map")
            else:
                some = True
                seen.add(log.resolve())
                taken[folder] += 1
                chosen.append(Chosen(log, _numbered(folder, taken[folder]), map_path))
        if not some:
            _refuse(word, left_out[before:])
    if len(chosen) == 1 and _is_one(words[0]):
        chosen = [Chosen(chosen[0].log, Path(), chosen[0].map_path)]
    if maps is not None and not any(one.log.suffix.lower() in WITH_MAP for one in chosen):
        raise UsageError(
            "reading --map",
            got="a map, and no log that has columns to map",
            expected=f"a log that ends in {' or '.join(sorted(WITH_MAP))}",
            remedy="Leave --map away: the log says itself what is in it.",
        )
    return Selection(tuple(chosen), tuple(left_out))


def is_log(path: Path) -> bool:
    """Whether a path is a log by its name, or the folder of a ROS 2 bag, which is one."""
    return (path.suffix.lower() in FORMATS and path.is_file()) or (path / BAG_FOLDER_MARK).is_file()


def map_of(log: Path, maps: Path | None) -> Path | None:
    """Return the map of a log: the one that is given, one of a folder by its name, or the one beside it."""
    if log.suffix.lower() not in WITH_MAP:
        return None
    if maps is not None and not maps.is_dir():
        return maps
    near = [log.with_suffix(".toml"), log.with_name(f"{log.name}.toml")]
    if maps is not None:
        above = [parent.name for parent in log.resolve().parents[:MAP_LEVELS] if parent.name]
        near = [maps / f"{name}.toml" for name in (log.stem, *above)] + near
    return next((path for path in near if path.is_file()), None)


def _is_one(word: Path) -> bool:
    """Whether `word` means one log, there or not, and neither a folder of them nor a glob."""
    if word.is_dir():
        return is_log(word)
    return word.exists() or not glob.has_magic(str(word))


def _found(word: Path, out: Path, *, prefix: bool) -> Iterator[tuple[Path, Path]]:
    """Yield each log that may be meant, and the folder of its results."""
    if word.is_dir():
        above = Path(word.resolve().name) if prefix else Path()
        for log in _walk(word, out):
            yield log, above / log.relative_to(word).with_suffix("")
        return
    fixed = Path(*_before_magic(word))
    for text in sorted(glob.glob(str(word), recursive=True)):
        path = Path(text)
        if path.is_dir() and not is_log(path):
            if "**" not in word.parts:  # which finds what is in it anyway
                for log in _walk(path, out):
                    yield log, log.relative_to(fixed).with_suffix("")
        elif out.resolve() not in path.resolve().parents:
            yield path, path.relative_to(fixed).with_suffix("")


def _before_magic(word: Path) -> Iterator[str]:
    for part in word.parts:
        if glob.has_magic(part):
            return
        yield part


def _walk(top: Path, out: Path) -> Iterator[Path]:
    """Yield the logs below a folder, in the order of their names; nothing hidden, nothing of our own."""
    own = out.resolve()
    for folder, below, files in os.walk(top):
        here = Path(folder)
        logs = {name for name in below if is_log(here / name)}
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(".") and name not in logs and (here / name).resolve() != own
        )
        for name in sorted({*files, *logs}):
            if not name.startswith(".") and is_log(here / name):
                yield here / name


def _numbered(folder: Path, count: int) -> Path:
    return folder if count == 1 else folder.with_name(f"{folder.name}-{count}")


def _refuse(word: Path, left_out: Sequence[str]) -> None:
    doing = f"looking for logs in {word}"
    if left_out:
        raise UsageError(
            doing,
            got=f"none to read; {left_out[0]}" + (f", and {len(left_out) - 1} more" * (len(left_out) > 1)),
            expected=f"files that end in {SUFFIXES}, tables with a map",
            remedy="Give a map, or a folder of maps, with --map; docs/csv-maps.md says how to write one.",
        )
    near = "" if word.is_dir() else did_you_mean(word.name, [p.name for p in word.parent.glob("*")])
    raise UsageError(
        doing,
        got=f"no log{near}",
        expected=f"files that end in {SUFFIXES}",
        remedy="Check the path; ** in a glob looks into all folders below.",
    )

"""Snippets as files of their own: the parts of each put together, and written as MCAP, which `replay` opens.

For who receives them; on the box there are recordings. What a payload says is not believed before it is
looked at: names of files are made of checked words only, and sizes are bounded.
"""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.blocks import NS_PER_S, Block
from agent.errors import PayloadError, UsageError
from agent.log_info import LogInfo
from agent.ranges import NAME
from agent.recorder.mcap_writer import McapRecorder
from agent.snippets.form import blocks_of, spec_of
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality, wall_ns_of

MOST_PARTS = 4096
MOST_OPEN = 64  # snippets that are waited for; the oldest is then written as far as it came
MOST_PART_BYTES = 4 << 20  # in JSON; a box of ours sends a fortieth of it
MOST_HELD_BYTES = 64 << 20  # of parts that wait for others
MOST_VALUES = 1 << 24  # of one snippet: ten minutes of three axes at 3.2 kHz are a third of it
_ID = re.compile(r"^[a-z]{1,16}-[0-9]{1,20}\Z")
_WRONG = (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError)
Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SnippetSamples:
    """A snippet as it was on the box. Blocks carry the sensor's own values; `spec` says what one is."""

    box: str
    boot: str
    """Of the start of the agent that measured them; of the one that sent them, see `sent_by`."""
    sent_by: str
    id: str
    events: tuple[str, ...]
    certificate: str
    software: str
    spec: StreamSpec
    mark: TimeMark
    """From box time to wall time, to the microsecond."""
    blocks: tuple[Block, ...]
    missing_parts: int = 0

    @property
    def name(self) -> str:
        """A name for a file, the same for ever."""
        return f"{self.box}_{self.sent_by}_{self.id}_{self.spec.name}"


@dataclass(slots=True)
class _Open:
    parts: dict[int, Payload] = field(default_factory=dict)
    count: int = 0
    size_bytes: int = 0


class SnippetReader:
    """Puts parts together. ``take`` payloads in any order; repeated ones do no harm."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str, str], _Open] = OrderedDict()

    def take(self, payload: Payload) -> list[SnippetSamples]:
        """Take one payload of a snippet; return those that are complete by it. Raises PayloadError."""
        try:
            key = str(payload["box"]), str(payload["boot"]), str(payload["id"])
            part, parts = int(payload["part"]), int(payload["parts"])
            names = (*key[:2], str(payload["stream"]))
            good = all(re.match(NAME, name) for name in names) and _ID.match(key[2])
            if not good or not 1 <= part <= parts <= MOST_PARTS:
                raise ValueError("odd names, or parts")
            opened = self._open.setdefault(key, _Open(count=parts))
            if opened.count != parts:
                raise ValueError("another number of parts than before")
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(str(error)) from error
        if part not in opened.parts:
            size_bytes = len(msgspec.json.encode(payload))
            if size_bytes > MOST_PART_BYTES:
                raise _damaged(f"a part of {size_bytes:,} bytes")
            opened.parts[part] = payload
            opened.size_bytes += size_bytes
        if len(opened.parts) == opened.count:
            return [_samples(self._open.pop(key))]
        held_bytes = sum(one.size_bytes for one in self._open.values())
        if len(self._open) > MOST_OPEN or held_bytes > MOST_HELD_BYTES:
            return [_samples(self._open.popitem(last=False)[1])]
        return []

    def rest(self, complain: Callable[[PayloadError], None] | None = None) -> Iterator[SnippetSamples]:
        """Give what has come of those that are not complete; `complain` hears of what cannot be read.

        Raises PayloadError where nobody hears.
        """
        while self._open:
            try:
                samples = _samples(self._open.popitem(last=False)[1])
            except PayloadError as error:
                if complain is None:
                    raise
                complain(error)
            else:
                yield samples


def snippets_of(payloads: Iterable[Payload]) -> Iterator[SnippetSamples]:
    """Return the snippets among decoded payloads, other kinds passed over. Raises PayloadError."""
    reader = SnippetReader()
    for payload in payloads:
        if "codec" in payload:
            yield from reader.take(payload)
    yield from reader.rest()


def save(samples: SnippetSamples, folder: Path) -> Path | None:
    """Write a snippet as MCAP into `folder` and return its path; None where it is there already."""
    path = folder / f"{samples.name}.mcap"
    part = path.with_suffix(".mcap.part")
    if path.exists():
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"saving snippets to {folder}",
            got=error.strerror or str(error),
            expected="a folder that this user may write to",
            remedy="Choose another with --snippets.",
        ) from error
    meta = {
        "snippet": samples.id,
        "events": ", ".join(samples.events),
        "certificate": samples.certificate,
        "missing_parts": str(samples.missing_parts),
    }
    info = LogInfo(
        box=samples.box,
        boot=samples.boot,
        software=samples.software,
        streams=(samples.spec,),
        meta=meta,
    )
    try:
        with McapRecorder(part, info, overwrite=True) as recorder:
            recorder.write(samples.mark)
            for block in samples.blocks:
                recorder.write(block)
        return part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _samples(opened: _Open) -> SnippetSamples:
    """Put together what can be read of the parts. Raises PayloadError where that is none."""
    good: list[tuple[Payload, StreamSpec, list[Block]]] = []
    values = 0
    wrong = "no part"
    for number in sorted(opened.parts):
        payload = opened.parts[number]
        try:
            spec, blocks = spec_of(payload), blocks_of(payload)
            if good and (spec.name, spec.axes) != (good[0][1].name, good[0][1].axes):
                raise ValueError(f"parts of {good[0][1].name} and of {spec.name}")
            values += sum(block.values.size for block in blocks)
            if values > MOST_VALUES:
                raise ValueError(f"more than {MOST_VALUES:,} values")
        except _WRONG as error:
            wrong = str(error)
            continue
        good.append((payload, spec, blocks))
    try:
        head, spec, _ = good[0]
        box_ns = int(head["box_s"]) * NS_PER_S + int(head["box_ns"])
        offset_ns = wall_ns_of(str(head["start"])) - box_ns
        return SnippetSamples(
            box=str(head["box"]),
            boot=_name(head.get("of", head["boot"])),
            sent_by=str(head["boot"]),
            id=str(head["id"]),
            events=tuple(map(str, head["events"])),
            certificate=str(head["cal"]),
            software=str(head["sw"]),
            spec=spec,
            mark=TimeMark(box_ns, offset_ns, TimeQuality(head["tq"])),
            blocks=tuple(block for _, _, blocks in good for block in blocks),
            missing_parts=opened.count - len(good),
        )
    except _WRONG as error:
        raise _damaged(str(error) if good else wrong) from error


def _name(said: object) -> str:
    if not re.match(NAME, name := str(said)):
        raise ValueError(f"a start called {name[:80]!r}")
    return name


def _damaged(got: str) -> PayloadError:
    return PayloadError(
        "reading a snippet",
        got=got,
        expected="samples as docs/asyncapi.yaml describes them",
        remedy="If it came from a box, look at what lies between: something there changes payloads.",
    )

"""What the tests of logs share: reading a log to the end, and comparing what flowed without its cuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from agent.blocks import Block, Silence
from agent.sources import Item
from agent.sources.log_file import LogSource, open_log
from agent.streams import StreamSpec
from agent.timebase import TimeMark

TOP = Path(__file__).resolve().parents[2]
MAPS = TOP / "docs" / "maps"
RECORDINGS = TOP.parent / "shared" / "data"


@dataclass(slots=True)
class Lane:
    """All samples of one stream, and every jump of its index."""

    index: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    values: list[npt.NDArray[Any]] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    period_ps: list[int] = field(default_factory=list)
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    """First missing index, how many, why."""

    @property
    def array(self) -> npt.NDArray[Any]:
        return np.concatenate(self.values)


def lanes_of(items: Iterable[Item]) -> dict[str, Lane]:
    """Put the blocks of each stream together again, and hold every promise of an item against the rest."""
    lanes: dict[str, Lane] = {}
    silent_ns: dict[str, int] = {}
    for item in items:
        if isinstance(item, Silence):
            silent_ns[item.stream] = max(item.until_ns, silent_ns.get(item.stream, item.until_ns))
        if not isinstance(item, Block):
            continue
        lane = lanes.setdefault(item.stream, Lane())
        assert len(item), "an empty block says nothing"
        assert item.start_ns >= silent_ns.get(item.stream, item.start_ns), "a sample after its silence"
        expected = lane.index[-1] + 1 if lane.index else item.first
        assert item.first >= expected, f"{item.stream} goes back from {expected} to {item.first}"
        if item.first > expected:
            lane.gaps.append((expected, item.first - expected, item.missing_reason))
        lane.index += range(item.first, item.end)
        lane.times_ns += item.times_ns().tolist()
        lane.values.append(item.values)
        lane.quality += [0] * len(item) if item.quality is None else item.quality.tolist()
        lane.period_ps += [item.clock.period_ps] * len(item)
    for name, lane in lanes.items():
        assert all(b > a for a, b in zip(lane.times_ns, lane.times_ns[1:], strict=False)), (
            f"{name}: time stands"
        )
    return lanes


def marks_of(items: Iterable[Item]) -> list[TimeMark]:
    return [item for item in items if isinstance(item, TimeMark)]


def assert_same(got: dict[str, Lane], wanted: dict[str, Lane]) -> None:
    """Everything but the cuts must be equal, to the bit."""
    assert got.keys() == wanted.keys()
    for name, lane in wanted.items():
        other = got[name]
        assert other.index == lane.index, name
        assert other.times_ns == lane.times_ns, name
        assert other.quality == lane.quality, name
        assert other.period_ps == lane.period_ps, name
        assert other.gaps == lane.gaps, name
        assert other.array.dtype == lane.array.dtype, name
        assert other.array.tobytes() == lane.array.tobytes(), name


@dataclass(slots=True)
class Reading:
    """A log read to its end."""

    source: LogSource
    specs: tuple[StreamSpec, ...]
    items: list[Item]

    @property
    def lanes(self) -> dict[str, Lane]:
        return lanes_of(self.items)

    @property
    def notes(self) -> str:
        return " ".join(self.source.notes)


def read(path: Path, map_path: Path | None = None, *, block_samples: int | None = None) -> Reading:
    source = open_log(path, map_path=map_path, block_samples=block_samples)
    specs = source.open()
    items = list(source.items())
    source.close()
    return Reading(source, specs, items)


ACCEL_MAP = """
[time]
column = "t"
format = "ms"
[streams.accel]
columns = ["x", "y", "z"]
unit = "mg"
"""


class Csv:
    """Writes CSV files and maps into a folder and reads them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.csv"
        self.map_path = folder / "map.toml"

    def read(
        self,
        content: bytes | str | Sequence[str],
        map_text: str = ACCEL_MAP,
        *,
        block_samples: int | None = None,
    ) -> Reading:
        if isinstance(content, str | bytes):
            data = content if isinstance(content, bytes) else content.encode()
        else:
            data = ("\n".join(content) + "\n").encode()
        self.path.write_bytes(data)
        self.map_path.write_text(map_text)
        return read(self.path, self.map_path, block_samples=block_samples)

    def rows(self, rows: Sequence[str], map_text: str = ACCEL_MAP) -> Reading:
        """Read rows under the usual header."""
        return self.read(["t,x,y,z", *rows], map_text)


def recording(name: str) -> Path:
    """Return a real recording, or skip the test that wants it."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"no real recordings here: {name} is not in ../shared/data")
    return path

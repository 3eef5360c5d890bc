"""All features of all streams: samples in, tables of windows out, and of tables the columns of a record.

A family is a file: what it sums up of complete windows (`names`, `accumulate`), and what it tells of such
sums, be they of a second or of a day (`columns`). It sees the windows of its stream in order, so it may carry
a state from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from agent.blocks import SiBlock
from agent.features import moments, slow
from agent.features.jerk import Jerk
from agent.features.kinetic import Kinetic
from agent.features.level import Level
from agent.features.load import Load
from agent.features.moments import Columns
from agent.features.slosh_band import SloshBand
from agent.features.table import F64, Layout, Names, Part, Table
from agent.features.third_octave import ThirdOctaves, level_db
from agent.features.weighed import DOUBTS, SUMS
from agent.features.weighing import Weigher
from agent.features.windows import WINDOW_NS, Windowed, Windows
from agent.streams import StreamClass, StreamSpec, Unit

XYZ = 3


class Family(Protocol):
    """Features of one kind, of one stream."""

    @property
    def names(self) -> Names:
        """Columns that it sums up; no two families of a stream have the same."""

    def accumulate(self, window: Windowed) -> Mapping[str, F64]:
        """Return a (m, k) array a name, of the m windows."""

    def columns(self, part: Part) -> Columns:
        """Return what it tells of each row, rounded to its meaning: null where there were no samples."""


FAMILIES: Mapping[StreamClass, Callable[[StreamSpec], Family]] = {
    StreamClass.MOTION: Level,
    StreamClass.LOAD: Load,
    StreamClass.PRESSURE: slow.pressure,
    StreamClass.CLIMATE: slow.climate,
    StreamClass.CONTACT: slow.contact,
    StreamClass.VOLTAGE: slow.voltage,
}


class Counted:
    """A stream of which nothing is told: its samples earn, and that is all."""

    def __init__(self) -> None:
        self.names = {k: v for k, v in moments.names(1).items() if k == "count"}

    def accumulate(self, window: Windowed) -> Mapping[str, F64]:
        """Count."""
        return {"count": window.counts[:, None].astype(np.float64)}

    def columns(self, part: Part) -> Columns:
        """Tell nothing."""
        return {}


@dataclass(frozen=True, slots=True)
class Tank:
    """An upright tank and how high it is filled; `width_m` None: as wide as it is long."""

    length_m: float
    fill_m: float
    width_m: float | None = None

    @classmethod
    def of(cls, length_m: float | None, fill_m: float | None, width_m: float | None) -> Self | None:
        """Return the tank of these settings; None where they do not tell of one."""
        return None if length_m is None or fill_m is None else cls(length_m, fill_m, width_m)


def families_of(spec: StreamSpec, tank: Tank | None = None) -> list[Family]:
    """Return the families that read a stream; the first of them counts its samples."""
    if not spec.summarise:
        return [Counted()]
    families = [FAMILIES[spec.kind](spec)]
    if spec.kind is StreamClass.MOTION and spec.unit is Unit.MPS2 and len(spec.axes) == XYZ:
        families.append(Jerk(spec))
        if tank is not None:
            families.append(SloshBand(spec, tank.length_m, tank.fill_m, tank.width_m))
    if spec.kind is StreamClass.CLIMATE and spec.unit is Unit.DEGC:
        families.append(Kinetic(spec))
    return families


class _Lane:
    """One stream."""

    def __init__(self, spec: StreamSpec, tank: Tank | None) -> None:
        self.spec = spec
        self.windows = Windows()
        self.families = families_of(spec, tank)
        accelerates = spec.summarise and spec.kind is StreamClass.MOTION and spec.unit is Unit.MPS2
        octaves = ThirdOctaves(spec) if accelerates else None
        self.octaves = octaves if octaves is not None and octaves.bands else None
        self.summed = self.families if self.octaves is None else [*self.families, self.octaves]

    def names(self) -> Names:
        return {f"{self.spec.name}.{k}": v for family in self.summed for k, v in family.names.items()}

    def spectrum(self, part: Part) -> dict[str, moments.Cells]:
        """Return the level of each band over all rows, in dB re 1 µm/s², an axis each."""
        assert self.octaves is not None
        levels = level_db(self.octaves.mean_squares(part.whole())[0])
        return {axis: moments.told(row, 1) for axis, row in zip(self.spec.axes, levels, strict=True)}


class Features:
    """What the windows of all streams come to; `weigher` writes into the columns of the load."""

    def __init__(
        self, specs: Iterable[StreamSpec], weigher: Weigher | None = None, tank: Tank | None = None
    ) -> None:
        self._lanes = {spec.name: _Lane(spec, tank) for spec in specs}
        self._weigher = weigher
        self._layout = Layout({k: v for lane in self._lanes.values() for k, v in lane.names().items()})

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of a stream."""
        self._lanes[block.stream].windows.feed(block)

    def advance(self, horizon_ns: int) -> Table | None:
        """Return the windows that end at or before `horizon_ns`, once; None where there are none.

        Every stream must have given all that is older.
        """
        limit = horizon_ns // WINDOW_NS
        taken = {name: w for name, lane in self._lanes.items() if (w := lane.windows.take(limit)) is not None}
        if not taken:
            return None
        every = np.sort(np.concatenate([window.index for window in taken.values()]))
        index = every[np.concatenate(([True], every[1:] != every[:-1]))]
        table = self._layout.empty(index)
        for name, window in taken.items():
            rows = np.searchsorted(index, window.index)
            for family in self._lanes[name].summed:
                for key, array in family.accumulate(window).items():
                    table[f"{name}.{key}"][rows] = array
        if self._weigher is not None:
            load = self._weigher.cells_stream
            weighed, weighing = self._weigher.weigh(taken.get(load), taken.get(self._weigher.motion_stream))
            rows = np.searchsorted(index, weighed)
            table[f"{load}.{SUMS}"][rows] = weighing.sums
            table[f"{load}.{DOUBTS}"][rows] = weighing.doubts
        return table

    def raw_bytes(self, table: Table) -> F64:
        """Return the bytes in which the sensors themselves gave what is in each row: (m,)."""
        total = np.zeros(len(table))
        for name, lane in self._lanes.items():
            total += table[f"{name}.count"][:, 0] * lane.spec.raw_bytes_per_sample
        return total

    def told(self, table: Table) -> dict[str, Any]:
        """Return the part of a record that tells what the rows hold, of streams that have samples in it."""
        columns: dict[str, Any] = {}
        spectrum: dict[str, Any] = {}
        for name, lane in self._lanes.items():
            part = table.part(name)
            if not part["count"].any():
                continue
            for family in lane.families:
                columns.update(family.columns(part))
            if lane.octaves is not None and part["band_frames"].any():
                spectrum[name] = lane.spectrum(part)
        return {"columns": columns, "spectrum_db": spectrum} if spectrum else {"columns": columns}

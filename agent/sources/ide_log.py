"""enDAQ and Slam Stick recordings (.IDE, read by `idelib`): each channel by its own calibration, in SI.

Channels that measure what a box measures become streams. Where several measure the same, one takes the
stream's name and the others keep theirs with the number of the channel, recorded but neither watched nor
summarised; which, is said. What no stream exists for (light, orientation, position, sound) is named and
left out. Format: EBML with optional checksums, which these recorders do not write; see `ide_blocks` for
what is noticed all the same.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S
from agent.errors import FourPartError
from agent.sources.ide_blocks import Chain, Kind, chain_of, judge
from agent.sources.laid_out import NEVER_SET_BEFORE_NS, LaidOutLog, Strand
from agent.sources.log_source import LogIdentity
from agent.streams import TABLE, StreamSpec
from calibration.gravity import STANDARD_GRAVITY_MPS2

NS_PER_US = 1000
MAGIC = b"\x1a\x45\xdf\xa3"  # EBML

# (what idelib says is measured, in what unit) → our stream, how many of its units one is
KNOWN: dict[tuple[str, str], tuple[str, float]] = {
    ("Acceleration", "g"): ("accel", STANDARD_GRAVITY_MPS2),
    ("Rotation", "dps"): ("gyro", math.pi / 180),
    ("Rotation", "deg/s"): ("gyro", math.pi / 180),
    ("Pressure", "Pa"): ("air_pressure", 1.0),
    ("Temperature", "°C"): ("temperature", 1.0),
    ("Relative Humidity", "RH"): ("humidity", 1.0),
}
# what tells what is measured, and must be text; others may hold what a person typed, in whatever encoding
NAMES = frozenset({"ChannelName", "SubChannelName", "SubChannelLabel", "SubChannelUnits"})
ANALOG_CHANNEL = 8  # of every recorder: the piezo, unless its name says otherwise


@dataclass(frozen=True, slots=True)
class _Group:
    """Subchannels of one channel that measure the same: what may become a stream."""

    stream: str
    factor: float
    channel: int
    name: str
    places: tuple[int, ...]
    bits: int
    samples: int
    calibrated: bool
    """Whether the calibrations that it refers to are there."""

    @property
    def feels_gravity(self) -> bool:
        """Whether it measures down to 0 Hz: a piezo does not."""
        words = set(re.findall(r"[A-Z]+", self.name.upper()))
        return bool(words & {"DC", "PR"}) or ("PE" not in words and self.channel != ANALOG_CHANNEL)

    @property
    def merit(self) -> tuple[bool, bool, int, int]:
        """Rank: all axes, gravity, the most samples, the lowest number."""
        whole = len(self.places) == len(TABLE[self.stream].axes)
        return whole, self.stream != "accel" or self.feels_gravity, self.samples, -self.channel


class IdeLog(LaidOutLog):
    """An .IDE file as a `LogSource`."""

    def _read(self) -> list[Strand]:
        from idelib import importer

        data = self._path.read_bytes()
        if data[: len(MAGIC)] != MAGIC:
            raise self._no_log(
                f"a file that begins with {data[:4].hex(' ')}" if data else "an empty file",
                f"an .IDE file: {MAGIC.hex(' ')}",
                "Check that the file was copied whole, and that a recorder wrote it.",
            )
        try:
            strands = self._strands_of(self._dataset(data, importer))
        except FourPartError:
            raise
        except (Exception, MemoryError) as error:  # what idelib raises on damage is not told anywhere
            raise self._no_log(
                f"what cannot be read ({type(error).__name__}: {error})",
                "the header, the channels and the samples of a recorder",
                "The file is damaged. If there is another copy, take that.",
            ) from error
        boot = hashlib.sha256(data).hexdigest()[:16]
        meta = {"format": "ide", "file": self._path.name}
        self._identity = LogIdentity(None, boot, None, meta)
        return strands

    def _dataset(self, data: bytes, importer: Any) -> Any:
        """Let idelib read as much as is whole; it would pass over some damage, and give up at other."""
        import ebmlite

        schema = ebmlite.loadSchema("mide_ide.xml")
        chain = chain_of(data, {number: _kind_of(kind) for number, kind in schema.elements.items()})
        if chain.wrong:
            lost = len(data) - chain.whole
            self._damage(
                f"The last {lost:,} bytes, from byte {chain.whole:,} on, could not be read: {chain.wrong}."
            )
        if chain.garbled:
            self._damage(
                f"{chain.garbled} names or units of channels are no text: what they name may be wrong."
            )
        dataset = importer.openFile(io.BytesIO(data[: chain.whole]), name=self._path.name, quiet=True)
        importer.readData(dataset)
        self._tell_strays(chain, dataset)
        return dataset

    def _tell_strays(self, chain: Chain, dataset: Any) -> None:
        strays = sum(count for channel, count in chain.blocks.items() if channel not in dataset.channels)
        if strays:
            self._damage(f"{strays:,} blocks are of a channel that the file does not name: left out.")

    def _strands_of(self, dataset: Any) -> list[Strand]:
        session = dataset.lastSession
        if session is None or not dataset.channels:
            raise self._no_log(
                "no recording in it" if dataset.channels else "no channel in it",
                "a session with channels",
                "The file is cut off or damaged before its samples.",
            )
        if dataset.fileDamaged and not self.damaged:
            self._damage("The file is cut off or damaged: what stands before that was read.")
        if len(dataset.sessions) > 1:
            self.notes.append(f"Of {len(dataset.sessions)} sessions the last was read.")
        start_ns = int(session.utcStartTime or 0) * NS_PER_S
        if start_ns < NEVER_SET_BEFORE_NS:
            start_ns = 0
            self.notes.append("The recorder's clock was never set: times count from its start.")
        info = dataset.recorderInfo or {}
        product = info.get("ProductName") or info.get("PartNumber") or "recorder"
        owner = f"{product} {info.get('RecorderSerial', '')}".strip()
        groups, others = _groups_of(dataset)
        if others:
            self.notes.append(f"Left out, since a box has no stream for it: {', '.join(others)}.")
        strands = []
        for group, spec in self._named(groups, owner):
            try:
                strand = self._read_group(dataset, group, spec, start_ns)
            except (Exception, MemoryError) as error:  # one channel that is damaged must not take the others
                self._damage(f"{group.name} could not be read ({type(error).__name__}: {error}).")
                continue
            if strand is not None:
                strands.append(strand)
                if not group.calibrated:
                    self._damage(
                        f"{spec.name} refers to a calibration that is not there: values may be wrong."
                    )
        if not strands:
            self.notes.append("Nothing in it is what a box measures.")
        self._date(min((int(strand.times_ns[0]) for strand in strands), default=start_ns))
        return strands

    def _named(self, groups: list[_Group], owner: str) -> list[tuple[_Group, StreamSpec]]:
        """Choose for each stream the best group; the others keep the number of their channel."""
        out = []
        for stream, usual in TABLE.items():
            ranked = sorted((g for g in groups if g.stream == stream), key=lambda g: g.merit, reverse=True)
            shown = {f"{g.channel} ({g.name})": (str(g.channel), g.name) for g in ranked}
            chosen = self._chosen(stream, shown)
            if chosen is not None:
                ranked.insert(0, ranked.pop(chosen))
            for i, group in enumerate(ranked):
                first = i == 0 and len(group.places) == len(usual.axes)
                watched = first and (stream != "accel" or group.feels_gravity)
                axes = usual.axes if len(group.places) == len(usual.axes) else _axes(len(group.places))
                spec = StreamSpec(
                    name=stream if first else f"{stream}_{group.channel}",
                    axes=axes,
                    unit=usual.unit,
                    rate_hz=usual.rate_hz,
                    sample_bits=group.bits,
                    kind=usual.kind,
                    watch=watched,
                    summarise=watched,
                    sensor=f"{owner} channel {group.channel}",
                )
                out.append((group, spec))
                if first and not watched:
                    self.notes.append(f"{group.name} does not feel gravity: recorded, and not watched.")
            if len(ranked) > 1:
                rest = ", ".join(f"{g.name} (as {stream}_{g.channel})" for g in ranked[1:])
                why = "it feels gravity, then the most samples" if stream == "accel" else "the most samples"
                why = why if chosen is None else "chosen"
                self.notes.append(f"{stream} is {ranked[0].name} ({why}); kept, and not watched: {rest}.")
        return out

    def _read_group(self, dataset: Any, group: _Group, spec: StreamSpec, start_ns: int) -> Strand | None:
        session = dataset.channels[group.channel].getSession()
        rows: npt.NDArray[np.float64] = np.asarray(session.arraySlice(), np.float64)
        judgement = judge(session._data, rows.shape[1])
        for which, words in (
            (judgement.contradicted, "stand in blocks that contradict their own statistics or the rate"),
            (judgement.odd, "have other bits where all others have the same"),
        ):
            if which.any():
                self._damage(f"{int(which.sum()):,} samples of {spec.name} {words}: left out.")
        if judgement.none_agrees:
            self._damage(
                f"No block of {spec.name} agrees with its own statistics: damaged, or not understood."
            )
        if judgement.turned_back:
            self._damage(f"{judgement.turned_back:,} blocks of {spec.name} begin before the last one ends.")
        wrong = judgement.contradicted | judgement.odd
        if wrong.any():
            self.counters.unreadable_rows += int(wrong.sum())
            rows = rows[:, ~wrong]
        micros = rows[0]
        sound = np.isfinite(micros) & (np.abs(micros) < 1e15)
        if not sound.all():
            self._damage(f"{int((~sound).sum()):,} samples of {spec.name} have no time: left out.")
        times_ns = start_ns + np.rint(micros[sound] * NS_PER_US).astype(np.int64)
        values = rows[[1 + place for place in group.places]][:, sound].T * group.factor
        return self._strand(spec, times_ns, np.ascontiguousarray(values, dtype=np.float32))


def _kind_of(kind: Any) -> Kind:
    """Return what an element of the schema holds."""
    import ebmlite

    if issubclass(kind, ebmlite.MasterElement):
        return Kind.ELEMENTS
    return Kind.TEXT if kind.name in NAMES else Kind.OTHER


def _axes(count: int) -> tuple[str, ...]:
    return tuple(f"a{i}" for i in range(count))


def _groups_of(dataset: Any) -> tuple[list[_Group], list[str]]:
    """Return what may become streams, and the names of what may not; an empty channel is neither."""
    groups: list[_Group] = []
    others: dict[str, None] = {}
    for number, channel in sorted(dataset.channels.items()):
        samples = len(channel.getSession())
        if not samples:
            continue
        found: dict[str, list[int]] = {}
        for place, sub in enumerate(channel.subchannels):
            measured, unit = (html.unescape(str(word)) for word in (sub.units or ("", "")))
            known = KNOWN.get((measured, unit))
            if known is None:
                others[f"{channel.name} ({measured or sub.name})"] = None
            else:
                found.setdefault(known[0], []).append(place)
        for stream, places in found.items():
            named = {str(channel.subchannels[p].name).strip()[:1].upper(): p for p in places}
            if len(places) == 3 and named.keys() == set("XYZ"):
                ordered = tuple(named[axis] for axis in "XYZ")
            else:
                ordered = tuple(places)
            sub = channel.subchannels[ordered[0]]
            measured, unit = (html.unescape(str(word)) for word in sub.units)
            name = str(channel.name) if len(found) == 1 else f"{channel.name} ({sub.name})"
            name += "" if "DC" in name or "DC" not in str(sub.name) else " DC"
            groups.append(
                _Group(
                    stream,
                    KNOWN[measured, unit][1],
                    number,
                    name,
                    ordered,
                    _bits(channel, ordered[0]),
                    samples,
                    _is_calibrated(channel, ordered),
                )
            )
    return groups, list(others)


def _is_calibrated(channel: Any, places: tuple[int, ...]) -> bool:
    """Return whether no calibration is missing that is referred to.

    Recorders refer to some that they never write, on all axes alike, where the whole channel has one.
    """
    subs = [channel.subchannels[place] for place in places]
    missing = [sub.transform is None and sub.transformId is not None for sub in subs]
    return not any(missing) or (all(missing) and channel.transform is not None)


def _bits(channel: Any, place: int) -> int:
    """Return the width of one axis in the file."""
    letters = str(getattr(channel.parser, "format", "")).lstrip("<>=@!")
    if len(letters) <= place:
        return 16
    return 8 * struct.calcsize("<" + letters[place])

"""What a board says of its failing sensors, as `SensorFault`s among the samples.

The board's word goes ahead of its samples, and may be lost; samples are the proof that a sensor works. So
a fault begins once all samples of before are known to have come, and ends right before the first one
after it, whether or not the board has said so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass

from agent.blocks import FaultKind, FaultPhase, SensorFault


@dataclass(slots=True)
class _Fault:
    words: str
    since_ns: int
    """When the board's word had come: a sensor that failed gives nothing for the next 100 ms."""
    told_words: str = ""
    told_ns: int | None = None


class BoardFaults:
    """The sensors of one board that fail. Whatever is no stream stays a line of the board's log."""

    def __init__(self, streams: Iterable[str] = ()) -> None:
        self._streams = frozenset(streams)
        self._faults: dict[str, _Fault] = {}

    def look(self, said: MutableMapping[str, str], now_ns: int) -> None:
        """Take what the board says now: stream → words."""
        for name in self._streams.intersection(said):
            fault = self._faults.setdefault(name, _Fault(said[name], now_ns))
            fault.words = said[name]

    @property
    def failing(self) -> tuple[str, ...]:
        """The streams of sensors that fail."""
        return tuple(self._faults)

    def told_ns(self, stream: str) -> int | None:
        """Return since when a fault of `stream` is told, None where none is."""
        fault = self._faults.get(stream)
        return None if fault is None else fault.told_ns

    def ended_by(self, stream: str, start_ns: int) -> bool:
        """Return whether samples from `start_ns` on prove that a fault of `stream` is over."""
        fault = self._faults.get(stream)
        return fault is not None and start_ns > fault.since_ns

    def end(
        self, stream: str, said: MutableMapping[str, str], start_ns: int, earliest_ns: int
    ) -> Iterator[SensorFault]:
        """The sensor works again from `start_ns` on; give its end, and the start if nobody was told."""
        fault = self._faults.pop(stream)
        if said.get(stream) == fault.words:
            del said[stream]  # its own word was lost, or is on its way
        if fault.told_ns is None:
            begin_ns = min(max(fault.since_ns, earliest_ns), start_ns)
            yield _word(stream, begin_ns, FaultPhase.START, fault.words)
        yield _word(stream, start_ns, FaultPhase.END, fault.words)

    def due(self, stream: str, known_ns: int, earliest_ns: int) -> Iterator[SensorFault]:
        """Give what can be said now that the samples of `stream` have come up to `known_ns`."""
        fault = self._faults.get(stream)
        if fault is None or fault.words == fault.told_words or known_ns < fault.since_ns:
            return
        at_ns = max(fault.since_ns if fault.told_ns is None else known_ns, earliest_ns)
        phase = FaultPhase.START if fault.told_ns is None else FaultPhase.UPDATE
        fault.told_words = fault.words
        fault.told_ns = at_ns if fault.told_ns is None else fault.told_ns
        yield _word(stream, at_ns, phase, fault.words)


def _word(stream: str, at_ns: int, phase: FaultPhase, words: str) -> SensorFault:
    sensor = f"the board's sensor of {stream}"
    return SensorFault(stream, at_ns, phase, FaultKind.BOARD, sensor, (stream,), words)

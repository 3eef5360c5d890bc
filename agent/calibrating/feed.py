"""One stream of a live source, read on a thread of its own; and of a log, as arrays."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Block, Quality
from agent.config import Config
from agent.errors import UsageError, did_you_mean
from agent.sources import LiveSource
from agent.sources.log_file import open_log
from agent.streams import StreamSpec
from calibration.thermal_lag import is_measured

TEMPERATURE = "temperature"
LOGGERS = ("cargobox", "firmware_bridge")  # of what reads boxes and buses
QUIET_S = 1.5  # a cable that is pulled is to be said while the hand is still on it
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive samples: ``raw`` (n, axes) as the sensor gave them, ``values`` in nominal SI units.

    ``t_s``: time of the first. ``after_gap``: samples before it are missing.
    """

    t_s: float
    raw: npt.NDArray[Any]
    values: F64
    after_gap: bool = False

    def parts(self, rate_hz: float, longest_s: float) -> Iterator[Chunk]:
        """Yield it in pieces of at most `longest_s`."""
        size = max(1, round(rate_hz * longest_s))
        for i in range(0, len(self.raw), size):
            part = slice(i, i + size)
            yield Chunk(self.t_s + i / rate_hz, self.raw[part], self.values[part], self.after_gap and i == 0)


class Warnings(logging.Handler):
    """Keeps the last thing that the cable or a chip complained of: it is for the screen, not through it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._loggers = [logging.getLogger(name) for name in LOGGERS]
        self._propagated = [logger.propagate for logger in self._loggers]

    def emit(self, record: logging.LogRecord) -> None:
        """Take one."""
        self.last = record.getMessage()

    def __enter__(self) -> Self:
        for logger in self._loggers:
            logger.addHandler(self)
            logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for logger, propagated in zip(self._loggers, self._propagated, strict=True):
            logger.removeHandler(self)
            logger.propagate = propagated


class Feed:
    """The samples of `stream` while they come; a context manager.

    Raises what opening the source raises, and UsageError where it has no such stream.
    """

    def __init__(self, source: LiveSource, config: Config, stream: str) -> None:
        self._source = source
        self._config = config
        self._stream = stream
        self._stop = threading.Event()
        self._queue: queue.SimpleQueue[Block] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._next = 0
        self._failure: Exception | None = None
        self._heard_s = time.monotonic()
        self._warnings = Warnings()
        self.spec: StreamSpec
        self.temperature_degc: float | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._warnings)
            self._open()
            stack.pop_all()
        return self

    def _open(self) -> None:
        specs = {spec.name: spec for spec in self._config.apply_to(self._source.open())}
        try:
            self.spec = _pick(specs, self._stream, "the box")
        except BaseException:
            self._source.close()
            raise
        self._thermometer = specs.get(TEMPERATURE)
        self._thread = threading.Thread(target=self._read, name="calibrate-feed", daemon=True)
        self._heard_s = time.monotonic()
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._source.close()
        self._warnings.__exit__(kind, error, trace)

    def _read(self) -> None:
        try:
            for item in self._source.items(self._stop):
                if not isinstance(item, Block) or not len(item):
                    continue
                if item.stream == self._stream:
                    self._heard_s = time.monotonic()
                    self._warnings.last = ""
                    self._queue.put(item)
                elif self._thermometer is not None and item.stream == TEMPERATURE:
                    spec = self._thermometer
                    degc = float(item.values[-1, 0]) * spec.scale + spec.offset
                    self.temperature_degc = degc if is_measured(degc) else None
        except Exception as error:  # told to whoever takes
            self._failure = error

    @property
    def quiet_s(self) -> float:
        """How long nothing has come."""
        return time.monotonic() - self._heard_s

    @property
    def trouble(self) -> str:
        """What keeps samples from coming, in words; empty if nothing."""
        if self.quiet_s < QUIET_S:
            return ""
        words = (
            f"Nothing has come from the box for {self.quiet_s:.0f} s: look after the cable. "
            "Nothing is lost, and it goes on by itself."
        )
        return f"{words}\n{self._warnings.last}" if self._warnings.last else words

    def take(self) -> list[Chunk]:
        """Return what has come since the last call. Raises what ended the source, if anything did."""
        chunks = []
        while True:
            try:
                block = self._queue.get_nowait()
            except queue.Empty:
                break
            chunks.append(chunk_of(block, self.spec, block.first != self._next))
            self._next = block.end
        if self._failure is not None and not chunks:
            raise self._failure
        return chunks


def chunk_of(block: Block, spec: StreamSpec, after_gap: bool) -> Chunk:
    """Return a block's samples in nominal SI units."""
    values = block.values.astype(np.float64) * spec.scale + spec.offset
    return Chunk(block.start_ns / NS_PER_S, block.values, values, after_gap)


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One stream of a log, whole. ``t_s``: (n,); ``raw``, ``values``: (n, axes).

    ``saturated``: (n,), where a sample stands at the end of its range.
    """

    spec: StreamSpec
    t_s: F64
    raw: npt.NDArray[Any]
    values: F64
    saturated: npt.NDArray[np.bool_]

    @property
    def rate_hz(self) -> float:
        """Samples a second: the median, since a log may have holes."""
        if len(self.t_s) < 2:
            return self.spec.rate_hz
        step_s = float(np.median(np.diff(self.t_s)))
        return 1.0 / step_s if step_s > 0 else self.spec.rate_hz


def read_log(
    path: Path,
    map_path: Path | None,
    config: Config,
    wanted: str,
    also: Iterable[str] = (TEMPERATURE,),
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> tuple[dict[str, Recorded], list[str]]:
    """Read the stream `wanted` of a log, those of `also` that it has, and what is to be known of the file.

    Raises LogFileError, ConfigError, UsageError (no such stream, or not a sample of it).
    """
    source = open_log(path, map_path=map_path)
    names = {wanted, *also}
    blocks: dict[str, list[Block]] = {}
    try:
        specs = {spec.name: spec for spec in config.apply_to(source.open())}
        _pick(specs, wanted, f"the log {path}")
        for item in source.items(stop or threading.Event()):
            on_progress(source.progress)
            if isinstance(item, Block) and item.stream in names and len(item):
                blocks.setdefault(item.stream, []).append(item)
    finally:
        source.close()
    if wanted not in blocks:
        raise UsageError(
            f"reading {wanted!r} of the log {path}",
            got="not one sample",
            expected="samples of the sensor that is calibrated",
            remedy="Take another log.",
        )
    return {name: _joined(specs[name], parts) for name, parts in blocks.items()}, list(source.notes)


def _joined(spec: StreamSpec, blocks: list[Block]) -> Recorded:
    raw = np.concatenate([block.values for block in blocks])
    times_ns = np.concatenate([block.times_ns() for block in blocks])
    flags = [np.zeros(len(b), np.uint8) if b.quality is None else b.quality for b in blocks]
    values = raw.astype(np.float64) * spec.scale + spec.offset
    saturated = (np.concatenate(flags) & Quality.SATURATED) != 0
    if spec.full_scale is not None:
        saturated |= (np.abs(values) >= spec.full_scale).any(axis=1)
    return Recorded(spec, times_ns / NS_PER_S, raw, values, saturated)


def _pick(specs: Mapping[str, StreamSpec], name: str, where: str) -> StreamSpec:
    if name in specs:
        return specs[name]
    raise UsageError(
        f"looking for {name!r} in {where}",
        got=f"{', '.join(specs) or 'no stream at all'}{did_you_mean(name, specs)}",
        expected=f"a stream {name!r}",
        remedy="Name another with --stream, or another source.",
    )

"""The host's side of the cable: a session with a board, kept up through all that befalls a cable.

    DOWN ──open──► ASKING ──describe──► SYNCING ──pings──► READY ──start──► STREAMING
      ▲                                                                         │
      └──── port gone, silence, a board that is not ours (back-off) ◄───────────┘

``open`` goes as far as READY and raises what is wrong; from then on ``read`` never raises: it starts the
board, gives samples, and reconnects by itself. One thread at a time.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge import wire
from firmware_bridge.clock import TickClock
from firmware_bridge.continuity import CABLE, REBOOT, Continuity
from firmware_bridge.describe import BoardStream, Description, parse_description
from firmware_bridge.errors import LinkError
from firmware_bridge.port import Port
from firmware_bridge.status import Counters, silent, strange, streams_changed

log = logging.getLogger(__name__)

NS_PER_S = 1_000_000_000
OPEN_STEP_S = 0.1
ASK_AGAIN_NS = 500_000_000
ANSWER_NS = 2 * NS_PER_S  # a board that boots from flash takes about one
PING_NS = 1 * NS_PER_S
SYNC_PINGS = 5
SILENCE_NS = 3 * NS_PER_S  # the answers to three pings
BACK_OFF_MIN_NS = 100_000_000
BACK_OFF_MAX_NS = 5 * NS_PER_S

_DATA_HEADER = struct.Struct(wire.DATA_HEADER)
_PONG = struct.Struct(wire.PONG)
_STARTED = struct.Struct(wire.STARTED)
_LOG_LEVELS = {wire.INFO: logging.INFO, wire.WARNING: logging.WARNING, wire.ERROR: logging.ERROR}


class LinkState(enum.Enum):
    """How far the session with the board has come."""

    DOWN = "down"
    ASKING = "asking"
    SYNCING = "syncing"
    READY = "ready"
    STARTING = "starting"
    STREAMING = "streaming"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive samples of one stream, as one frame brought them.

    `first`: index since the link was opened, missing samples counted; `time_ns`: host monotonic time of
    the first sample; `values`: (n, axes) counts, int16 or int32; `missing_reason`: why samples right
    before are missing.
    """

    stream: BoardStream
    first: int
    time_ns: int
    values: npt.NDArray[Any]
    missing_reason: str


@dataclass(slots=True)
class _Asked:
    """A command that waits for its answer."""

    ident: int = 0
    verb: int = 0
    sent_ns: int = 0
    first_sent_ns: int = 0


@dataclass(slots=True)
class _Heard:
    """What came while a description was waited for: it tells what is at the other end."""

    bytes: int = 0
    begin: bytearray = field(default_factory=bytearray)


class Link:
    """A session with the board on `port`."""

    def __init__(self, port: str) -> None:
        self.port_name = port
        self.state = LinkState.DOWN
        self.counters = Counters()
        self.description: Description | None = None
        self.last_error: LinkError | None = None
        self.clock = TickClock()
        self.quiet = False
        """The last read found nothing at all, not a byte: nothing waits to be read."""
        self._port: Port | None = None
        self._partial = b""
        self._streams: tuple[BoardStream, ...] = ()
        self._continuity: tuple[Continuity, ...] = ()
        self._session = 0
        self._port_went = False
        self._ident = 0
        self._asked = _Asked()
        self._heard = _Heard()
        self._pongs = 0
        self._last_heard_ns = 0
        self._last_ping_ns = 0
        self._back_off_ns = BACK_OFF_MIN_NS
        self._retry_ns = 0

    # --- for the owner ---

    def open(self) -> Description:
        """Connect and learn what the board measures; it does not sample yet. Raises `LinkError`."""
        try:
            self._connect()
            while self.state is not LinkState.READY:
                self._advance(OPEN_STEP_S)
        except LinkError:
            self.close()
            raise
        assert self.description is not None
        return self.description

    def read(self, timeout_s: float, idle: Callable[[float], object] = time.sleep) -> list[Samples]:
        """Return what has come, waiting at most `timeout_s`; `idle` waits while there is no port."""
        self.quiet = True
        if self.state is LinkState.DOWN:
            wait_ns = self._retry_ns - time.monotonic_ns()
            if wait_ns > 0:
                idle(min(timeout_s, wait_ns / NS_PER_S))
                if time.monotonic_ns() < self._retry_ns:
                    return []
        samples: list[Samples] = []
        try:
            if self.state is LinkState.DOWN:
                self._connect()
            elif self.state is LinkState.READY:
                self._ask(wire.DO_START, LinkState.STARTING)
            self._advance(timeout_s, samples)
        except LinkError as error:
            self._fail(error)
        return samples

    def close(self) -> None:
        """Tell the board to stop, and let go of the port."""
        if self.state in (LinkState.STREAMING, LinkState.STARTING):
            with contextlib.suppress(LinkError):
                self._send(wire.DO_STOP)
        self._drop_port()
        self.state = LinkState.DOWN

    @property
    def lost_samples(self) -> dict[str, int]:
        """Samples that never came, by stream."""
        return {s.name: c.lost for s, c in zip(self._streams, self._continuity, strict=True)}

    # --- the session ---

    def _connect(self) -> None:
        self._port = Port(self.port_name)
        self._partial = b""
        self._heard = _Heard()
        self._last_heard_ns = time.monotonic_ns()
        self._ask(wire.DO_DESCRIBE, LinkState.ASKING)

    def _advance(self, timeout_s: float, samples: list[Samples] | None = None) -> None:
        assert self._port is not None
        data, came_ns = self._port.read(timeout_s)
        self.quiet = not data
        if data:
            self._take(data, came_ns, [] if samples is None else samples)
        self._tend(came_ns)

    def _tend(self, now_ns: int) -> None:
        """Do what is due by the clock."""
        if self.state is LinkState.STREAMING:
            if now_ns - self._last_heard_ns > SILENCE_NS:
                raise silent(self.port_name, SILENCE_NS / NS_PER_S)
            if now_ns - self._last_ping_ns >= PING_NS:
                self._ping()
        elif self.state not in (LinkState.READY, LinkState.DOWN):
            if now_ns - self._asked.first_sent_ns > ANSWER_NS:
                if self.state is LinkState.ASKING and self._heard.bytes:
                    raise strange(self.port_name, self._heard.bytes, bytes(self._heard.begin))
                raise silent(self.port_name, ANSWER_NS / NS_PER_S)
            if now_ns - self._asked.sent_ns > ASK_AGAIN_NS:
                self._asked.ident, self._asked.sent_ns = self._send(self._asked.verb), now_ns

    def _ask(self, verb: int, state: LinkState) -> None:
        now_ns = time.monotonic_ns()
        self.state = state
        self._asked = _Asked(self._send(verb), verb, now_ns, now_ns)

    def _send(self, verb: int) -> int:
        assert self._port is not None
        self._ident = (self._ident + 1) & 0xFF
        # the delimiter in front ends whatever a program before us may have left half-sent
        self._port.write(b"\0" + wire.command(self._ident, verb))
        return self._ident

    def _ping(self) -> None:
        self._last_ping_ns = time.monotonic_ns()
        self._asked.sent_ns = self._last_ping_ns
        self._asked.verb = wire.DO_PING
        self._asked.ident = self._send(wire.DO_PING)

    def _fail(self, error: LinkError) -> None:
        if self.state is LinkState.STREAMING or str(error) != str(self.last_error):
            log.warning("%s", error)
        self.last_error = error
        if self.state in (LinkState.STREAMING, LinkState.STARTING):
            self.counters.disconnects += 1
        self._port_went = True
        self._drop_port()
        self.state = LinkState.DOWN
        self._retry_ns = time.monotonic_ns() + self._back_off_ns
        self._back_off_ns = min(2 * self._back_off_ns, BACK_OFF_MAX_NS)

    def _drop_port(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    # --- what comes ---

    def _take(self, data: bytes, came_ns: int, samples: list[Samples]) -> None:
        self.counters.received_bytes += len(data)
        if self.state is LinkState.ASKING:
            self._heard.bytes += len(data)
            if len(self._heard.begin) < 80:
                self._heard.begin += data[:80]
        *frames, self._partial = (self._partial + data).split(b"\0")
        if len(self._partial) > wire.MAX_FRAME_BYTES:
            self.counters.garbage_bytes += len(self._partial)
            self._partial = b""
        for raw in frames:
            if not raw:
                continue
            try:
                body = wire.unseal(raw)
            except wire.Damaged as damage:
                self.counters.damaged_frames += 1
                self.counters.last_damage = str(damage)
                continue
            self.counters.frames += 1
            self._last_heard_ns = came_ns
            if body[0] == wire.DATA:
                if self.state is LinkState.STREAMING:
                    self._take_data(body, came_ns, samples)
            else:
                self._take_other(body[0], body[: -wire.CRC_BYTES], came_ns)

    def _take_data(self, body: bytearray, came_ns: int, samples: list[Samples]) -> None:
        size = len(body) - wire.CRC_BYTES - wire.DATA_HEADER_BYTES
        if size <= 0:
            self.counters.rejected_frames += 1
            return
        _, number, seq, index, ticks, count = _DATA_HEADER.unpack_from(body)
        if number >= len(self._streams) or size != count * self._streams[number].sample_bytes:
            self.counters.rejected_frames += 1
            return
        stream = self._streams[number]
        time_ns = self.clock.host_ns(self.clock.unwrap(ticks, came_ns))
        place = self._continuity[number].place(seq, index, count, time_ns)
        if place is None:
            self.counters.rejected_frames += 1
            return
        self.counters.samples += count
        values = unpack_samples(body, wire.DATA_HEADER_BYTES, count, stream)
        samples.append(Samples(stream, place.first, time_ns, values, place.missing_reason))

    def _take_other(self, kind: int, body: bytearray, came_ns: int) -> None:
        if kind == wire.RESPONSE and len(body) >= wire.RESPONSE_HEADER_BYTES:
            if body[1] == self._asked.ident and body[2] == self._asked.verb and body[3] == wire.OK:
                self._take_answer(body[wire.RESPONSE_HEADER_BYTES :], came_ns)
        elif kind == wire.DESCRIBE:
            self._take_description(parse_description(body, self.port_name))
        elif kind == wire.STATUS:
            self.counters.take_status(bytes(body[1:]))
        elif kind == wire.LOG and len(body) > 1:
            words = bytes(body[2:]).decode(errors="replace")
            log.log(_LOG_LEVELS.get(body[1], logging.INFO), "board on %s says: %s", self.port_name, words)
        else:
            self.counters.rejected_frames += 1

    def _take_answer(self, payload: bytearray, came_ns: int) -> None:
        verb = self._asked.verb
        if verb == wire.DO_PING and len(payload) >= wire.PONG_BYTES:
            came, left, session = _PONG.unpack_from(payload)
            self.clock.add_ping(self._asked.sent_ns, came, left, came_ns)
            self._asked.ident = -1  # a second answer to the same ping says nothing
            if self.state is LinkState.SYNCING:
                self._pongs += 1
                if self._pongs < SYNC_PINGS:
                    self._ping()
                else:
                    self.state = LinkState.READY
            elif self.state is LinkState.STREAMING and session != self._session:
                # it rebooted and its own announcement was lost
                self._ask(wire.DO_DESCRIBE, LinkState.ASKING)
        elif verb == wire.DO_START and len(payload) >= wire.STARTED_BYTES:
            self._begin(_STARTED.unpack_from(payload)[0])

    def _take_description(self, description: Description) -> None:
        if self._streams and description.streams != self._streams:
            raise streams_changed(self.port_name)
        if self.state is LinkState.STREAMING and description.session == self._session:
            return
        if self.description is None:
            self._streams = description.streams
            self._continuity = tuple(Continuity(s) for s in self._streams)
        self.description = description
        if not self._session or description.session != self._session:
            self.clock = TickClock(description.tick_bits)  # after a reboot the ticks begin anew
        self._pongs = 0
        self._ask(wire.DO_PING, LinkState.SYNCING)

    def _begin(self, session: int) -> None:
        """The board samples: in a session that is new, or in the one that we know."""
        if session != self._session:
            assert self.description is not None
            if self._session:
                self.counters.reboots += 1
            for continuity in self._continuity:
                continuity.begin_session(
                    reason=CABLE if self._port_went else REBOOT,
                    counts_from_zero=self.description.session != session,
                )
            self._session = session
        self.state = LinkState.STREAMING
        self._port_went = False
        self._back_off_ns = BACK_OFF_MIN_NS
        self.last_error = None
        self._last_ping_ns = time.monotonic_ns()


def unpack_samples(body: bytearray, at: int, count: int, stream: BoardStream) -> npt.NDArray[Any]:
    """Return `count` packed samples from `at` on: (count, axes), int16 for 16 bits, else int32."""
    axes = len(stream.axes)
    if stream.sample_bits == 16:
        return np.frombuffer(body, "<i2", count * axes, at).reshape(count, axes)
    if stream.sample_bits == 24:
        wide = np.zeros((count * axes, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(body, np.uint8, count * axes * 3, at).reshape(-1, 3)
        return (wide.view("<i4") >> 8).reshape(count, axes)
    kind = "<i4" if stream.sample_bits == 32 else "i1"
    return np.frombuffer(body, kind, count * axes, at).reshape(count, axes).astype(np.int32)

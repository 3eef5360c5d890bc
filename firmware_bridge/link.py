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

from firmware_bridge import wire
from firmware_bridge.board_log import BoardLog
from firmware_bridge.clock import TickClock
from firmware_bridge.continuity import REBOOT
from firmware_bridge.deframer import Deframer
from firmware_bridge.describe import Description, parse_description
from firmware_bridge.errors import LinkError
from firmware_bridge.knock import Knock
from firmware_bridge.port import Port
from firmware_bridge.question import AGAIN_NS, Question
from firmware_bridge.reception import Reception, Samples
from firmware_bridge.refill import CABLE, PATIENCE_NS
from firmware_bridge.status import Counters, board_changed, closed, one_way, refused, silent, streams_changed
from firmware_bridge.whereabouts import Whereabouts

log = logging.getLogger(__name__)

NS_PER_S = 1_000_000_000
OPEN_STEP_S = 0.1
KNOCK_NS = 700_000_000
ANSWER_NS = 2 * NS_PER_S  # a board that boots from flash takes about one
PING_NS = 1 * NS_PER_S
SYNC_PINGS = 5
SILENCE_NS = 3 * NS_PER_S  # the answers to three pings
DEAF_NS = 5 * NS_PER_S  # when the board takes us for gone, too
HUNG_NS = 50_000_000  # no board that samples is silent for so long: more requests would only fill the port
HELD_UP_NS = 500_000_000  # a host that was asleep for longer was not waiting for anything
BACK_OFF_MIN_NS = 100_000_000
BACK_OFF_MAX_NS = 1 * NS_PER_S  # what a board samples while we wait, it may not have room for
SEQUENCES_KNOWN_NS = 20 * NS_PER_S  # a stream of 1600 frames a second numbers them anew after 40 s

_PONG = struct.Struct(wire.PONG)
_STARTED = struct.Struct(wire.STARTED)


class LinkState(enum.Enum):
    """How far the session with the board has come."""

    DOWN = "down"
    ASKING = "asking"
    SYNCING = "syncing"
    READY = "ready"
    STARTING = "starting"
    STREAMING = "streaming"


class Link:
    """A session with the board on `port`."""

    def __init__(self, port: str) -> None:
        self.port_name = port
        self.state = LinkState.DOWN
        self.counters = Counters()
        self.description: Description | None = None
        self.last_error: LinkError | None = None
        self.quiet = False
        """The last read found nothing at all, not a byte: nothing waits to be read."""
        self.deaf = False
        """The board sends, and does not hear us."""
        self._port: Port | None = None
        self._whereabouts = Whereabouts(port)
        self._deframer = Deframer(self.counters)
        self._reception = Reception(self.counters)
        self._session = 0
        self._port_went = False
        self._ident = 0
        self._asked = Question(0, 0)
        self._refills: dict[int, tuple[bytes, int]] = {}  # ident → arguments, when sent
        self._answers: dict[int, tuple[int, bytes]] = {}  # to `command`: ident → result, payload
        self._kept: list[Samples] = []  # came while `command` waited
        self._knock = Knock(port)
        self._log = BoardLog(port, self.counters)
        self._pongs = 0
        self._last_heard_ns = 0
        self._last_answer_ns = 0
        self._last_ping_ns = 0
        self._looked_ns = 0
        self._data_until_ns = 0  # when the session's last frame came before the port went
        self._back_off_ns = BACK_OFF_MIN_NS
        self._retry_ns = 0

    # --- for the owner ---

    def open(self) -> Description:
        """Connect and learn what the board measures; it does not sample yet. Raises `LinkError`."""
        try:
            self._connect()
            while self.state is not LinkState.READY:
                self._advance(OPEN_STEP_S, self._kept)
        except LinkError:
            self.close()
            raise
        assert self.description is not None
        return self.description

    def read(self, timeout_s: float, idle: Callable[[float], object] = time.sleep) -> list[Samples]:
        """Return what has come, waiting at most `timeout_s`; `idle` waits while there is no port."""
        self.quiet = True
        samples, self._kept = self._kept, []
        now_ns = time.monotonic_ns()
        if self._reception.waiting:
            # once no answer comes at all, nothing that is asked for will
            answers = now_ns - self._last_answer_ns < SILENCE_NS
            samples += self._reception.expire(now_ns, PATIENCE_NS if answers else 0)
        if self.state is LinkState.DOWN:
            wait_ns = self._retry_ns - now_ns
            if wait_ns > 0:
                idle(min(timeout_s, wait_ns / NS_PER_S))
                if time.monotonic_ns() < self._retry_ns:
                    return samples
        try:
            if self.state is LinkState.DOWN:
                self._connect()
            elif self.state is LinkState.READY:
                self._ask(wire.DO_START, LinkState.STARTING)
            self._advance(0.0 if samples else timeout_s, samples)
        except LinkError as error:
            self._fail(error)
        return samples

    def command(self, verb: int, arguments: bytes = b"") -> tuple[int, bytes]:
        """Let the board carry out one command; return (result, what it answered). Raises `LinkError`.

        The link must be open. What is sampled meanwhile is given by the next `read`.
        """
        if self._port is None:
            raise self.last_error or closed(self.port_name)
        self._answers.clear()
        question = Question(verb, time.monotonic_ns())
        question.sent(self._send(verb, arguments), question.first_ns)
        while True:
            self._advance(AGAIN_NS / NS_PER_S, self._kept)
            for ident, (result, payload) in self._answers.items():
                if question.answered(ident, verb) is not None:
                    return result, payload
            now_ns = time.monotonic_ns()
            if now_ns - question.first_ns > ANSWER_NS:
                raise silent(self.port_name, ANSWER_NS / NS_PER_S)
            if question.due(now_ns):
                question.sent(self._send(verb, arguments), now_ns)

    def do(self, what: str, verb: int, arguments: bytes = b"") -> bytes:
        """As `command`, and raise `ProtocolError` with `what` in its words unless the board does it."""
        result, payload = self.command(verb, arguments)
        if result != wire.OK:
            raise refused(self.port_name, what, result, payload.decode(errors="replace"))
        return payload

    def close(self) -> None:
        """Tell the board to stop, and let go of the port."""
        if self.state in (LinkState.STREAMING, LinkState.STARTING):
            with contextlib.suppress(LinkError):
                self._send(wire.DO_STOP)
        self._drop_port()
        self.state = LinkState.DOWN

    @property
    def clock(self) -> TickClock:
        """The board's clock against ours."""
        return self._reception.clock

    @property
    def session(self) -> int:
        """The board's session; 0 before it samples."""
        return self._session

    @property
    def lost_samples(self) -> dict[str, int]:
        """Samples that never came, by stream."""
        return self._reception.lost_samples

    @property
    def waiting(self) -> bool:
        """Whether samples are held back because others, which come first, were asked for again."""
        return self._reception.waiting

    def vouched_ns(self, stream: str) -> int:
        """Return the host time up to which `stream` has been given out whole, as the board says; 0: never."""
        return self._reception.vouched_ns(stream)

    # --- the session ---

    def _connect(self) -> None:
        self._port = Port(self._whereabouts.find())
        self._whereabouts.opened(self._port.name)
        self._deframer.forget()
        self._knock = Knock(self._port.name)
        self._refills.clear()
        self._last_heard_ns = self._last_answer_ns = self._looked_ns = time.monotonic_ns()
        self._ask(wire.DO_DESCRIBE, LinkState.ASKING)

    def _advance(self, timeout_s: float, samples: list[Samples]) -> None:
        assert self._port is not None
        now_ns = time.monotonic_ns()
        if now_ns - self._last_heard_ns < HUNG_NS and (due_ns := self._reception.due_ns()) is not None:
            timeout_s = min(timeout_s, max(0.001, (due_ns - now_ns) / NS_PER_S))
        data, came_ns = self._port.read(timeout_s)
        held_up_ns = came_ns - self._looked_ns - round(timeout_s * NS_PER_S)
        if held_up_ns > HELD_UP_NS:  # nobody looked: that tells neither of silence nor of a lack of answers
            self._last_heard_ns += held_up_ns
            self._last_answer_ns += held_up_ns
        self._looked_ns = came_ns
        self.quiet = not data
        if data:
            self._take(data, came_ns, samples)
        self._tend(came_ns)

    def _tend(self, now_ns: int) -> None:
        """Do what is due by the clock."""
        if self.state is LinkState.STREAMING:
            if now_ns - self._last_heard_ns > SILENCE_NS:
                raise silent(self.port_name, SILENCE_NS / NS_PER_S)
            if now_ns - self._last_ping_ns >= PING_NS:
                self._ping()
            self._notice_deafness(now_ns)
            if self._reception.waiting and now_ns - self._last_heard_ns < HUNG_NS:
                for arguments in self._reception.requests(now_ns):
                    self._refills[self._send(wire.DO_REFILL, arguments)] = (arguments, now_ns)
        elif self.state not in (LinkState.READY, LinkState.DOWN):
            asked = self._asked
            waited_ns = now_ns - asked.first_ns
            if waited_ns > ANSWER_NS:
                raise self._knock.verdict(ANSWER_NS / NS_PER_S)
            if self.state is LinkState.ASKING and waited_ns > KNOCK_NS:
                self._try_the_prompt()
            if asked.due(now_ns):
                asked.sent(self._send(asked.verb), now_ns)

    def _notice_deafness(self, now_ns: int) -> None:
        """Samples come but answers do not: they are taken all the same, and it is said once."""
        deaf = now_ns - self._last_answer_ns > DEAF_NS
        if deaf and not self.deaf:
            log.warning("%s", one_way(self.port_name, DEAF_NS / NS_PER_S))
        self.deaf = deaf

    def _try_the_prompt(self) -> None:
        """Nobody describes himself: a board that was left at MicroPython's prompt is started again."""
        assert self._port is not None
        if restart := self._knock.restart():
            self._asked.begin_again(time.monotonic_ns())
        if words := restart or self._knock.show_prompt():
            self._port.write(words)

    def _ask(self, verb: int, state: LinkState) -> None:
        self.state = state
        now_ns = time.monotonic_ns()
        self._asked = Question(verb, now_ns)
        self._asked.sent(self._send(verb), now_ns)

    def _send(self, verb: int, arguments: bytes = b"") -> int:
        assert self._port is not None
        self._ident = (self._ident + 1) & 0xFF
        # the delimiter in front ends whatever a program before us may have left half-sent
        self._port.write(b"\0" + wire.command(self._ident, verb, arguments))
        return self._ident

    def _ping(self) -> None:
        self._ask(wire.DO_PING, self.state)
        self._last_ping_ns = self._asked.last_ns

    def _fail(self, error: LinkError) -> None:
        if self.state is LinkState.STREAMING or str(error) != str(self.last_error):
            log.warning("%s", error)
        self.last_error = error
        if self.state in (LinkState.STREAMING, LinkState.STARTING):
            self.counters.disconnects += 1
            self._data_until_ns = self._last_heard_ns
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
        if self.state is LinkState.ASKING:
            self._knock.heard(data)
        for body in self._deframer.take(data):
            self._last_heard_ns = came_ns
            if body[0] == wire.DATA:
                if self.state is LinkState.STREAMING:
                    samples += self._reception.take_data(body, came_ns)
            else:
                self._take_other(body[0], body, came_ns, samples)

    def _take_other(self, kind: int, body: bytearray, came_ns: int, samples: list[Samples]) -> None:
        if kind == wire.REFILL:
            if self.state is LinkState.STREAMING:
                self._reception.take_refill(body, came_ns)
        elif kind == wire.RESPONSE and len(body) >= wire.RESPONSE_HEADER_BYTES:
            self._take_response(body, came_ns, samples)
        elif kind == wire.DESCRIBE:
            self._take_description(parse_description(body, self.port_name))
        elif kind == wire.STATUS:
            self.counters.take_status(body)
            self._reception.count_refilled()
        elif kind == wire.LOG and len(body) > 1:
            self._log.take(body, came_ns)
        else:
            self.counters.rejected_frames += 1

    def _take_response(self, body: bytearray, came_ns: int, samples: list[Samples]) -> None:
        _, ident, verb, result = body[: wire.RESPONSE_HEADER_BYTES]
        payload = body[wire.RESPONSE_HEADER_BYTES :]
        self._last_answer_ns = came_ns
        if verb == wire.DO_REFILL and (asked := self._refills.pop(ident, None)) is not None:
            arguments, sent_ns = asked
            self._reception.answer_time.took(came_ns - sent_ns)
            if result == wire.OK:
                samples += self._reception.take_answer(arguments, payload)
        elif (asked_ns := self._asked.answered(ident, verb)) is not None:
            if result == wire.OK:
                self._take_answer(verb, asked_ns, payload, came_ns, samples)
        else:
            self._answers[ident] = result, bytes(payload)

    def _take_answer(
        self, verb: int, sent_ns: int, payload: bytearray, came_ns: int, samples: list[Samples]
    ) -> None:
        if verb == wire.DO_PING and len(payload) >= wire.PONG_BYTES:
            came, left, session = _PONG.unpack_from(payload)
            self.clock.add_ping(sent_ns, came, left, came_ns)
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
            self._begin(_STARTED.unpack_from(payload)[0], samples)

    def _take_description(self, description: Description) -> None:
        known = self._reception.streams
        if known and description.streams != known:
            raise streams_changed(self.port_name)
        if self.description is not None and description.unique_id != self.description.unique_id:
            raise board_changed(self.port_name, description.unique_id, self.description.unique_id)
        if self.state is LinkState.STREAMING and description.session == self._session:
            return
        if self.description is None:
            self._reception.expect(description.streams)
        self.description = description
        self.counters.faults = dict(description.faults)
        if not self._session or description.session != self._session:
            self._reception.clock = TickClock(description.tick_bits)  # after a reboot the ticks begin anew
        self._pongs = 0
        self._ask(wire.DO_PING, LinkState.SYNCING)

    def _begin(self, session: int, samples: list[Samples]) -> None:
        """The board samples: in a session that is new, or in the one that we know."""
        if session != self._session:
            assert self.description is not None
            if self._session:
                self.counters.reboots += 1
            samples += self._reception.begin_session(
                reason=CABLE if self._port_went else REBOOT,
                counts_from_zero=self.description.session != session,
            )
            self._session = session
        elif time.monotonic_ns() - self._data_until_ns > SEQUENCES_KNOWN_NS:
            samples += self._reception.resume()
        self.state = LinkState.STREAMING
        self._port_went = False
        self._back_off_ns = BACK_OFF_MIN_NS
        self.last_error = None
        self._last_ping_ns = time.monotonic_ns()

"""The firmware: describes the board, forwards each sensor's samples, answers the host.

Runs on MicroPython, and unchanged on CPython where no MicroPython is to be had. All hardware is behind
one module, ``board`` (docs/boards.md says what it must offer), so that the same program serves every
board. The path of a sample allocates nothing: everything is laid out here once, frames are sealed in
place, and numbers that outgrow a small integer are kept in arrays.
"""

import gc
import json
import struct
from array import array

import board
import wire
from description import FAULTS_AND_OUTPUTS, NOTHING, describe
from ring import Ring, copy

FIRMWARE_VERSION = "0.2.0"

LOOP_MS = 3  # each turn sends all that was sampled: the alarm's 10 ms leave no more than this
TELL_US = 25_000  # how soon the host learns of a frame that was lost and had none behind it
STATUS_US = 1_000_000
COLLECT_US = 60_000_000  # at a moment of our choosing: a collection takes as long as a FIFO lasts
HOST_QUIET_US = 5_000_000  # the host pings once a second; outputs become safe when it stops
URGENT_BYTES = 3072  # answers and frames sent again; one description must fit
RING_LEAST_BYTES = 1024  # several frames: what seals into the ring does not look where it ends
ANSWER_BYTES = 64  # kept free of frames sent again
DATA_BODY_BYTES = 230  # so that a frame's length says all of it in one byte
MAX_FRAMES_A_TURN = 8  # of one stream; so that a backlog does not keep the host's commands waiting
NO_SEQUENCE = 0x4000  # frames after which "never left" is no longer told, long before sequences wrap


class Firmware:
    """One run of the program, from power-on to power-off."""

    def __init__(self, hardware, launcher):
        self.hardware = hardware
        self.launcher = launcher
        self.streams = json.loads(hardware.streams_text)
        count = len(self.streams)
        self.sample_bytes = [len(s["axes"]) * s["bits"] // 8 for s in self.streams]
        self.max_samples = [min(wire.MAX_SAMPLES_PER_FRAME, DATA_BODY_BYTES // n) for n in self.sample_bytes]
        self.index = array("I", [0] * count)
        self.seq = array("H", [0] * count)
        self.sensor_lost = [0] * count  # the sensor's own FIFO ran over before it was read
        self.ring = Ring(max(hardware.ring_bytes, RING_LEAST_BYTES), count)
        self.control_lost = 0
        self.bad_input = 0
        self.stalls = 0  # writes that the cable did not take whole
        self.running = False
        self.session = 0
        self.next_session = hardware.random_u32() | 1
        self.output_counter = 0
        self.faults = {}
        self.body = bytearray(wire.DATA_HEADER_BYTES + DATA_BODY_BYTES)
        self.told = bytearray(wire.REFILL_HEADER_BYTES + 2 * count)
        self.report = bytearray(wire.STATUS_HEADER_BYTES + wire.STATUS_STREAM_BYTES * count)
        self.urgent = bytearray(URGENT_BYTES)
        self.urgent_begin = 0
        self.urgent_end = 0
        self.delimiter = bytearray(1)
        self.heard = bytearray(256)
        self.command = bytearray(wire.MAX_FRAME_BYTES)
        self.command_end = 0
        self.ticks_mask = (1 << hardware.tick_bits) - 1
        now_us = hardware.ticks_us()
        self.last_heard_us = self.last_status_us = now_us
        self.last_told_us = self.last_collect_us = now_us
        self.host_quiet = False

    def run(self):
        """Serve until the power goes."""
        self.send_describe()
        while True:
            self.turn()

    def turn(self):
        """Wait a few milliseconds or for the host, then do all there is to do."""
        hardware = self.hardware
        hardware.wait(LOOP_MS)
        hardware.feed()
        self.listen()
        now_us = hardware.ticks_us()
        if self.running:
            drained = True
            for stream in range(len(self.sample_bytes)):
                if not self.forward(stream):
                    drained = False
            if drained and (now_us - self.last_told_us) & self.ticks_mask >= TELL_US:
                self.tell(now_us)
        self.look_at_the_time(now_us)
        self.push()

    # --- samples ---

    def forward(self, stream):
        """Frame everything that the sensor of `stream` has; return whether it has no more."""
        hardware = self.hardware
        body = self.body
        ring = self.ring
        room = self.max_samples[stream]
        for _ in range(MAX_FRAMES_A_TURN):
            count = hardware.take(stream, body, wire.DATA_HEADER_BYTES, room)
            if hardware.skipped:
                self.sensor_lost[stream] += hardware.skipped
                wire.advance(self.index, stream, hardware.skipped)
            if not count:
                return True
            seq = wire.lay_header(body, stream, hardware.sample_ticks, count, self.index, self.seq)
            length = wire.DATA_HEADER_BYTES + count * self.sample_bytes[stream]
            at = ring.reserve(wire.sealed_bytes_at_most(length))
            ring.commit(stream, seq, count, wire.seal_into(body, length, ring.buffer, at))
            self.seq[stream] = (seq + 1) & 0xFFFF
            wire.advance(self.index, stream, count)
            if count < room:
                return True
        return False

    def tell(self, now_us):
        """Tell the host how far every stream has come, once all of it has left."""
        if self.ring.unsent():
            self.push()
        if self.ring.unsent():
            return  # what waits would be taken for lost
        self.last_told_us = now_us
        self.put(self.told, wire.lay_refill(self.told, now_us, len(self.sample_bytes), self.seq))

    # --- out ---

    def put(self, body, length):
        """Seal a body that goes ahead of the samples; return whether there was room."""
        most = wire.sealed_bytes_at_most(length)
        if self.urgent_end + most > URGENT_BYTES:
            self.push()
            if self.urgent_end + most > URGENT_BYTES:
                self.control_lost += 1
                return False
        self.urgent_end = wire.seal_into(body, length, self.urgent, self.urgent_end)
        return True

    def push(self):
        """Hand to the cable what it takes: the rest of a begun frame, then answers, then samples."""
        ring = self.ring
        if ring.torn:
            if not self.hardware.write_host(self.delimiter, 0, 1):
                self.stalls += 1
                return
            ring.torn = False
        if ring.partly_sent() and not self.push_sample():
            return
        if self.urgent_begin < self.urgent_end and not self.push_urgent():
            return
        while ring.unsent():
            if not self.push_sample():
                return

    def push_sample(self):
        """Hand over the next frame of samples; return whether the cable took all of it."""
        ring = self.ring
        begin = ring.begin
        end = ring.end
        took = self.hardware.write_host(ring.buffer, begin, end)
        if took:
            ring.sent(took)
        if took < end - begin:
            self.stalls += 1
            return False
        return True

    def push_urgent(self):
        """Hand over what goes ahead; what is left moves to the front. Return whether it all went."""
        self.urgent_begin += self.hardware.write_host(self.urgent, self.urgent_begin, self.urgent_end)
        if self.urgent_begin == self.urgent_end:
            self.urgent_begin = self.urgent_end = 0
            return True
        self.stalls += 1
        self.urgent_end = copy(self.urgent, self.urgent_begin, self.urgent_end, self.urgent, 0)
        self.urgent_begin = 0
        return False

    def send(self, *parts):
        """Send a frame that is no data; these are rare, and may allocate."""
        body = bytearray()
        for part in parts:
            body.extend(part)
        return self.put(body, len(body))

    def send_describe(self):
        """Say who this is and what it measures: the host needs no table of its own."""
        text, left_out = describe(self.hardware, self.launcher, FIRMWARE_VERSION, self.session, self.faults)
        if left_out == FAULTS_AND_OUTPUTS:
            self.log(wire.ERROR, "the description is too long: outputs left out; shorten their names")
        self.send(bytes((wire.DESCRIBE, wire.PROTOCOL_VERSION)), text)
        if left_out != NOTHING:
            for stream in self.faults:
                self.tell_fault(stream, *self.faults[stream])

    def send_status(self, now_us):
        """Report the counters: what ran over, where."""
        report = self.report
        struct.pack_into(
            wire.STATUS_HEADER,
            report,
            0,
            wire.STATUS,
            now_us,
            self.session,
            self.control_lost,
            self.bad_input,
            self.hardware.input_lost,
            self.stalls,
        )
        at = wire.STATUS_HEADER_BYTES
        for stream in range(len(self.sample_bytes)):
            struct.pack_into(wire.STATUS_STREAM, report, at, self.sensor_lost[stream], self.ring.lost[stream])
            at += wire.STATUS_STREAM_BYTES
            if (self.seq[stream] - self.ring.lost_until[stream]) & 0xFFFF > NO_SEQUENCE:
                self.ring.lost_until[stream] = -1
        self.put(report, at)

    def log(self, level, words):
        """Send words for the engineer."""
        self.send(bytes((wire.LOG, level)), words.encode())

    def look_at_the_time(self, now_us):
        """Do what is due by the clock."""
        mask = self.ticks_mask
        if (now_us - self.last_status_us) & mask >= STATUS_US:
            self.last_status_us = now_us
            if self.running:
                self.send_status(now_us)
        if self.running and not self.host_quiet and (now_us - self.last_heard_us) & mask >= HOST_QUIET_US:
            self.host_quiet = True
            self.hardware.make_safe()
            self.log(wire.WARNING, "host quiet: outputs made safe")
        fault = self.hardware.next_fault()
        if fault is not None:
            self.take_fault(*fault)
        if (now_us - self.last_collect_us) & mask >= COLLECT_US:
            # right after the sensors were emptied: they now hold out for the longest
            self.last_collect_us = now_us
            gc.collect()

    def take_fault(self, stream, doing, got, expected):
        """Tell the host that a sensor fails, or with nothing in `got` that it works again."""
        if got:
            self.faults[stream] = [doing, got, expected]
        else:
            self.faults.pop(stream, None)
        self.tell_fault(stream, doing, got, expected)

    def tell_fault(self, stream, doing, got, expected):
        """Tell the host of one fault."""
        text = json.dumps({"stream": stream, "doing": doing, "got": got, "expected": expected})
        self.send(bytes((wire.LOG, wire.FAULT)), text.encode())

    # --- in ---

    def listen(self):
        """Take what the host sent; a command is complete at its delimiter."""
        count = self.hardware.read_host(self.heard)
        for i in range(count):
            byte = self.heard[i]
            if byte:
                if self.command_end < wire.MAX_FRAME_BYTES:
                    self.command[self.command_end] = byte
                    self.command_end += 1
            elif self.command_end:
                raw = bytes(memoryview(self.command)[: self.command_end])
                self.command_end = 0
                self.obey(raw)

    def obey(self, raw):
        """Do what one frame from the host says; anything else is counted and left."""
        came_us = self.hardware.ticks_us()
        try:
            body = wire.unseal(raw)
        except wire.Damaged:
            self.bad_input += 1
            return
        if body[0] != wire.COMMAND or len(body) < wire.COMMAND_HEADER_BYTES:
            self.bad_input += 1
            return
        self.last_heard_us = came_us
        self.host_quiet = False
        ident = body[1]
        verb = body[2]
        arguments = bytes(body[wire.COMMAND_HEADER_BYTES :])
        if verb == wire.DO_PING:
            session = self.session if self.running else 0
            self.answer(ident, verb, struct.pack(wire.PONG, came_us, self.hardware.ticks_us(), session))
        elif verb == wire.DO_REFILL:
            self.refill(ident, arguments)
        elif verb == wire.DO_DESCRIBE:
            self.answer(ident, verb)
            self.send_describe()
        elif verb == wire.DO_START:
            if not self.running:
                self.start()
            self.answer(ident, verb, struct.pack(wire.STARTED, self.session))
        elif verb == wire.DO_STOP:
            self.stop()
            self.answer(ident, verb)
        elif verb == wire.DO_OUTPUT:
            self.move_output(ident, arguments)
        elif verb in (wire.DO_KEEP, wire.DO_PROMPT):
            self.decide_next_boot(ident, verb)
        else:
            self.answer(ident, verb, result=wire.UNKNOWN_VERB)
        self.push()  # a ping's answer must not wait for the end of the turn

    def answer(self, ident, verb, payload=b"", result=wire.OK):
        """Send the response to a command."""
        self.send(struct.pack(wire.RESPONSE_HEADER, wire.RESPONSE, ident, verb, result), payload)

    def refill(self, ident, arguments):
        """Send frames again, as far as they are still in the ring and there is room; then say how far."""
        if len(arguments) != wire.REFILL_ARGUMENTS_BYTES or arguments[0] >= len(self.sample_bytes):
            self.answer(ident, wire.DO_REFILL, result=wire.BAD_ARGUMENTS)
            return
        stream, first, wanted = struct.unpack(wire.REFILL_ARGUMENTS, arguments)
        ring = self.ring
        self.push()
        upcoming = self.seq[stream]
        oldest = ring.oldest(stream)
        if oldest < 0:
            oldest = upcoming
        made = (upcoming - first) & 0xFFFF
        wanted = min(wanted, made if made < 0x8000 else 0)
        gone = (oldest - first) & 0xFFFF
        done = min(wanted, gone if gone < 0x8000 else 0)
        while done < wanted:
            at = ring.find(stream, (first + done) & 0xFFFF)
            if at >= 0:
                size = ring.size_at(at)
                if self.urgent_end + size + ANSWER_BYTES > URGENT_BYTES:
                    break
                self.urgent_end = copy(ring.buffer, at, at + size, self.urgent, self.urgent_end)
            done += 1
        never_left = ring.lost_until[stream]
        if never_left < 0:
            never_left = (upcoming - 0x8000) & 0xFFFF  # before all that the host may still miss
        told = struct.pack(wire.REFILLED, oldest, upcoming, (first + done) & 0xFFFF, never_left)
        self.answer(ident, wire.DO_REFILL, told)

    def move_output(self, ident, arguments):
        """Set an output, if whoever asks holds the key and asks for the first time."""
        hardware = self.hardware
        if len(arguments) != wire.OUTPUT_ARGUMENTS_BYTES + wire.OUTPUT_TAG_BYTES:
            self.answer(ident, wire.DO_OUTPUT, result=wire.BAD_ARGUMENTS)
            return
        output, value, counter = struct.unpack_from(wire.OUTPUT_ARGUMENTS, arguments)
        result = wire.NOT_AUTHORISED
        if hardware.output_key and self.running and counter > self.output_counter:
            expected = wire.output_tag(hardware.output_key, self.session, output, value, counter)
            if expected == arguments[wire.OUTPUT_ARGUMENTS_BYTES :]:
                self.output_counter = counter
                result = wire.OK if hardware.set_output(output, value) else wire.FAILED
        self.answer(ident, wire.DO_OUTPUT, struct.pack("<I", self.output_counter), result)

    def decide_next_boot(self, ident, verb):
        """Let the launcher write into the flash, which may be full, what the next boot is to start."""
        try:
            if verb == wire.DO_KEEP:
                self.launcher.keep()
            else:
                self.launcher.prompt_at_next_boot()
        except OSError as error:
            self.answer(ident, verb, str(error).encode(), wire.FAILED)
            return
        self.answer(ident, verb)
        if verb == wire.DO_PROMPT:
            self.stop()
            self.push()
            self.hardware.reset()

    def start(self):
        """Begin a session: every stream counts from 0."""
        for stream in range(len(self.sample_bytes)):
            self.index[stream] = 0
            self.seq[stream] = 0
        self.ring.clear()
        self.session = self.next_session
        self.next_session = ((self.session + 2) & 0xFFFFFFFF) | 1  # never 0, which says "not sampling"
        self.output_counter = 0
        self.hardware.start()
        self.running = True

    def stop(self):
        """End the session."""
        self.hardware.stop()
        self.hardware.make_safe()
        self.running = False
        self.session = 0


def run(launcher):
    """Serve until the power goes; `launcher`: see ``main.py``."""
    Firmware(board.Board(), launcher).run()

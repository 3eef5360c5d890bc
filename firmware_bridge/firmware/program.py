"""The firmware: describes the board, forwards each sensor's samples, answers the host.

Runs on MicroPython, and unchanged on CPython where no MicroPython is to be had. All hardware is behind
one module, ``board`` (see ``firmware_bridge/virtual/board.py`` for what it must offer), so that the
same program serves every board. The path of a sample allocates no buffers: everything is laid out here
once, and frames are sealed in place.
"""

import json
import struct

import board
import wire

FIRMWARE_VERSION = "0.1.0"

LOOP_MS = 3  # each turn sends all that was sampled: the alarm's 10 ms leave no more than this
STATUS_US = 1_000_000
HOST_QUIET_US = 5_000_000  # the host pings once a second; outputs become safe when it stops
ROOM_BYTES = 4096  # out buffer: 0.2 s of all streams
DATA_BODY_BYTES = 400
MAX_FRAMES_A_TURN = 8  # of one stream; so that a backlog does not keep the host's commands waiting


class Firmware:
    """One run of the program, from power-on to power-off."""

    def __init__(self, hardware, launcher):
        self.hardware = hardware
        self.launcher = launcher
        self.streams = json.loads(hardware.streams_text)
        count = len(self.streams)
        self.sample_bytes = [len(s["axes"]) * s["bits"] // 8 for s in self.streams]
        self.max_samples = [min(wire.MAX_SAMPLES_PER_FRAME, DATA_BODY_BYTES // n) for n in self.sample_bytes]
        self.index = [0] * count
        self.seq = [0] * count
        self.sensor_lost = [0] * count  # the sensor's own FIFO ran over before it was read
        self.output_lost = [0] * count  # the host did not read
        self.control_lost = 0
        self.bad_input = 0
        self.running = False
        self.session = 0
        self.next_session = hardware.random_u32() | 1
        self.control_seq = 0
        self.body = bytearray(wire.DATA_HEADER_BYTES + DATA_BODY_BYTES + wire.CRC_BYTES)
        self.out = bytearray(ROOM_BYTES)
        self.out_begin = 0
        self.out_end = 0
        self.heard = bytearray(256)
        self.command = bytearray()
        self.last_heard_us = hardware.ticks_us()
        self.last_status_us = self.last_heard_us
        self.host_quiet = False

    def run(self):
        """Serve until the power goes."""
        self.send_describe()
        while True:
            self.turn()

    def turn(self):
        """Wait a few milliseconds or for the host, then do all there is to do."""
        self.hardware.wait(LOOP_MS)
        self.listen()
        if self.running:
            for stream in range(len(self.streams)):
                self.forward(stream)
        self.look_at_the_time()
        self.push()

    # --- samples ---

    def forward(self, stream):
        """Frame everything that the sensor of `stream` has."""
        hardware = self.hardware
        body = self.body
        room = self.max_samples[stream]
        for _ in range(MAX_FRAMES_A_TURN):
            count = hardware.take(stream, body, wire.DATA_HEADER_BYTES, room)
            if hardware.skipped:
                self.sensor_lost[stream] += hardware.skipped
                self.index[stream] += hardware.skipped
            if not count:
                return
            struct.pack_into(
                wire.DATA_HEADER,
                body,
                0,
                wire.DATA,
                stream,
                self.seq[stream],
                self.index[stream] & 0xFFFFFFFF,
                hardware.sample_ticks,
                count,
            )
            length = wire.DATA_HEADER_BYTES + count * self.sample_bytes[stream]
            if self.put(body, length):
                self.seq[stream] = (self.seq[stream] + 1) & 0xFFFF
            else:
                # the sequence stays: so the host can tell what never left from what the cable lost
                self.output_lost[stream] += count
            self.index[stream] += count
            if count < room:
                return

    # --- out ---

    def put(self, body, length):
        """Seal a body into the out buffer; return whether there was room."""
        most = wire.sealed_bytes_at_most(length)
        if self.out_end + most > ROOM_BYTES:
            self.push()
            if self.out_end + most > ROOM_BYTES:
                return False
        self.out_end = wire.seal_into(body, length, self.out, self.out_end)
        return True

    def push(self):
        """Hand to the cable what it takes; what is left moves to the front."""
        if self.out_begin < self.out_end:
            self.out_begin += self.hardware.write_host(self.out, self.out_begin, self.out_end)
        if self.out_begin == self.out_end:
            self.out_begin = self.out_end = 0
        elif self.out_begin:
            rest = self.out_end - self.out_begin
            self.out[:rest] = self.out[self.out_begin : self.out_end]
            self.out_begin = 0
            self.out_end = rest

    def send(self, *parts):
        """Send a frame that is no data; these are rare, and may allocate."""
        body = bytearray()
        for part in parts:
            body.extend(part)
        length = len(body)
        body.extend(bytes(wire.CRC_BYTES))
        if not self.put(body, length):
            self.control_lost += 1

    def send_describe(self):
        """Say who this is and what it measures: the host needs no table of its own."""
        hardware = self.hardware
        about = json.dumps(
            {
                "firmware": FIRMWARE_VERSION,
                "board": hardware.name,
                "id": hardware.unique_id,
                "reset": hardware.reset_cause,
                "boots": hardware.boots,
                "session": self.session,
                "tick_bits": hardware.tick_bits,
                "mount_up": hardware.mount_up,
            }
        )
        # the streams go as the text that the board has: a float here may have 32 bits only
        text = about[:-1] + ', "streams": ' + hardware.streams_text + "}"
        self.send(bytes((wire.DESCRIBE, wire.PROTOCOL_VERSION)), text.encode())

    def send_status(self):
        """Report the counters: what ran over, where."""
        text = json.dumps(
            {
                "session": self.session,
                "ticks": self.hardware.ticks_us(),
                "sensor_lost": self.sensor_lost,
                "output_lost": self.output_lost,
                "control_lost": self.control_lost,
                "bad_input": self.bad_input,
            }
        )
        self.send(bytes((wire.STATUS,)), text.encode())

    def log(self, level, words):
        """Send words for the engineer."""
        self.send(bytes((wire.LOG, level)), words.encode())

    def look_at_the_time(self):
        """Do what is due by the clock."""
        now_us = self.hardware.ticks_us()
        mask = (1 << self.hardware.tick_bits) - 1
        if (now_us - self.last_status_us) & mask >= STATUS_US:
            self.last_status_us = now_us
            if self.running:
                self.send_status()
        if self.running and not self.host_quiet and (now_us - self.last_heard_us) & mask >= HOST_QUIET_US:
            self.host_quiet = True
            self.hardware.make_safe()
            self.log(wire.WARNING, "host quiet: outputs made safe")

    # --- in ---

    def listen(self):
        """Take what the host sent; a command is complete at its delimiter."""
        count = self.hardware.read_host(self.heard)
        for i in range(count):
            byte = self.heard[i]
            if byte:
                if len(self.command) < wire.MAX_BODY_BYTES:
                    self.command.append(byte)
            elif self.command:
                self.obey(bytes(self.command))
                self.command = bytearray()

    def obey(self, raw):
        """Do what one frame from the host says; anything else is counted and left."""
        came_us = self.hardware.ticks_us()
        try:
            body = wire.unseal(raw)
        except wire.Damaged:
            self.bad_input += 1
            return
        if body[0] != wire.COMMAND or len(body) < wire.COMMAND_HEADER_BYTES + wire.CRC_BYTES:
            self.bad_input += 1
            return
        self.last_heard_us = came_us
        self.host_quiet = False
        ident = body[1]
        verb = body[2]
        if verb == wire.DO_PING:
            session = self.session if self.running else 0
            self.answer(ident, verb, struct.pack(wire.PONG, came_us, self.hardware.ticks_us(), session))
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
        else:
            self.answer(ident, verb, result=wire.UNKNOWN_VERB)
        self.push()  # a ping's answer must not wait for the end of the turn

    def answer(self, ident, verb, payload=b"", result=wire.OK):
        """Send the response to a command."""
        self.send(struct.pack(wire.RESPONSE_HEADER, wire.RESPONSE, ident, verb, result), payload)

    def start(self):
        """Begin a session: every stream counts from 0."""
        for stream in range(len(self.streams)):
            self.index[stream] = 0
            self.seq[stream] = 0
        self.session = self.next_session
        self.next_session = ((self.session + 2) & 0xFFFFFFFF) | 1  # never 0, which says "not sampling"
        self.hardware.start()
        self.running = True

    def stop(self):
        """End the session."""
        self.hardware.stop()
        self.running = False
        self.session = 0


def run(launcher):
    """Serve until the power goes; `launcher`: see ``main.py``."""
    Firmware(board.Board(), launcher).run()

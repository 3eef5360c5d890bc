"""The virtual box's board module: what ``firmware/main.py`` finds as ``board``.

Runs inside the firmware's own process, under MicroPython or CPython, and imports nothing of the host.
Its sensors play the files that ``hardware.py`` lays out ahead of time, one a second of the trip, in
step with its own tick counter: sample k of a stream is there at start + k / rate. Each sensor keeps
what is not fetched for one second; then its oldest samples are lost and counted.

The pseudo-terminal's far side is standard input and output, best in non-blocking mode. Where nobody has
laid out a world, one sensor rests at 0 for ever: any MicroPython of a computer can be flashed and answers.
"""

import json
import os
import select
import sys
import time

try:
    import machine
except ImportError:  # on CPython
    machine = None

FIFO_S = 1
RING_BYTES = 65_536
IS_MICROPYTHON = sys.implementation.name == "micropython"
WATCHDOG_MS = 8000
# where the world's files lie: the current folder, but for a board whose flash is a file system of its own
WORLD = os.getenv("CARGOBOX_WORLD")
ORIGIN_FILE = "origin"
AT_REST = (
    '[{"name": "pressure", "axes": ["p"], "unit": "Pa", "scale": 1, "rate_hz": 50, "bits": 16, '
    '"full_scale": null}]'
)


def _monotonic_us():
    # both read the kernel's CLOCK_MONOTONIC, so that hardware.py can follow the play
    return time.ticks_us() if IS_MICROPYTHON else time.monotonic_ns() // 1000


def in_world(name):
    """Return the path of a file of the world."""
    return WORLD + "/" + name if WORLD else name


def second_file(second):
    """Return the path of the file with all samples of one second of the trip."""
    return in_world(f"second-{second:06d}")


class Board:
    """The whole hardware of the virtual box.

    ``take`` leaves in ``skipped`` the samples that ran over before those taken, and in
    ``sample_ticks`` the ticks of the first one taken.
    """

    def __init__(self):
        about = self._about()
        self.name = "virtual (" + sys.implementation.name + ")"
        self.unique_id = about["id"]
        self.reset_cause = about["reset"]
        self.boots = about["boots"]
        self.mount_up = about["mount_up"]
        self.streams_text = about["streams"]
        self.tick_bits = 32
        self.ring_bytes = RING_BYTES
        self.outputs_text = "[]"
        self.output_key = b""
        self.input_lost = 0
        self.skipped = 0
        self.sample_ticks = 0
        self._epoch_us = about["epoch_us"]
        self._drift_ppm = about["drift_ppm"]
        # as on a chip, the counter begins anew at each boot
        self._ticks_offset_us = about["ticks_offset_us"] - self._now_us()
        self._host = open(about.get("host_fd", 0), "r+b", 0)  # noqa: SIM115 - lives as long as the process
        self._poll = select.poll()
        self._poll.register(self._host, select.POLLIN)
        # the parent holds the other end of this pipe: when it goes, so does the power
        self._power = self._power_fd = about["power_fd"]
        if self._power_fd is not None:
            self._power = open(self._power_fd, "rb", 0)  # noqa: SIM115
            self._poll.register(self._power, select.POLLIN)
        self._lay_out(json.loads(self.streams_text))
        if machine is not None and hasattr(machine, "WDT"):
            self._watchdog = machine.WDT(timeout=WATCHDOG_MS)
        else:
            self._watchdog = None

    def _about(self):
        try:
            with open(in_world("board.json")) as f:
                self._at_rest = False
                return json.loads(f.read())
        except OSError:
            self._at_rest = True
        return {
            "id": "0000",
            "reset": "power-on",
            "boots": 1,
            "mount_up": None,
            "streams": AT_REST,
            "epoch_us": _monotonic_us(),
            "drift_ppm": 0,
            "ticks_offset_us": 0,
            "power_fd": None,
        }

    def _lay_out(self, streams):
        self._rates_hz = [s["rate_hz"] for s in streams]
        self._sample_bytes = [len(s["axes"]) * s["bits"] // 8 for s in streams]
        self._begins = []
        total = 0
        for rate_hz, size in zip(self._rates_hz, self._sample_bytes):  # noqa: B905 - MicroPython has no strict
            self._begins.append(total)
            total += rate_hz * size
        self._next = [0] * len(streams)
        self._origin_us = 0
        # two seconds are at hand: streams cross from one to the next at different turns
        self._slots = [bytearray(total), bytearray(total)]
        self._slot_seconds = [-1, -1]

    def _now_us(self):
        true_us = _monotonic_us() - self._epoch_us
        return true_us + true_us * self._drift_ppm // 1_000_000

    def ticks_us(self):
        """Return the free-running microsecond counter; it wraps at 2 ** tick_bits."""
        return (self._now_us() + self._ticks_offset_us) & 0xFFFFFFFF

    def random_u32(self):
        """Return 32 random bits."""
        return int.from_bytes(os.urandom(4), "little")

    def wait(self, timeout_ms):
        """Return when the host has sent something, at the latest after `timeout_ms`."""
        for what, _ in self._poll.poll(timeout_ms):
            # MicroPython gives the file, CPython its number
            if what is self._power or what == self._power_fd:
                sys.exit()

    def read_host(self, buffer):
        """Read what the host sent, without waiting; return the number of bytes."""
        if self._at_rest:
            return self._read_bytewise(buffer)
        return self._host.readinto(buffer) or 0

    def _read_bytewise(self, buffer):
        """Read from a standard input that would wait for the buffer to be full."""
        count = 0
        while count < len(buffer) and self._poll.poll(0):
            if not self._host.readinto(memoryview(buffer)[count : count + 1]):
                break
            count += 1
        return count

    def write_host(self, buffer, begin, end):
        """Write without waiting; return the number of bytes that the cable took."""
        return self._host.write(memoryview(buffer)[begin:end]) or 0

    def make_safe(self):
        """Bring outputs into their safe state: this board has none."""

    def set_output(self, _number, _value):
        """Set an output; return whether there is such a one."""
        return False

    def next_fault(self):
        """Return what a sensor has to say since the last time: these play, and never fail."""

    def feed(self):
        """Keep the watchdog from barking."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def reset(self):
        """Boot again: whoever holds the power switch sees us end."""
        sys.exit()

    def start(self):
        """Switch the sensors on. At the first start the trip begins; later starts find it under way."""
        now_us = self._now_us()
        if self._at_rest:
            self._origin_us = now_us - 1
            self._next = [0] * len(self._rates_hz)
            return
        try:
            with open(in_world(ORIGIN_FILE)) as f:
                self._origin_us = int(f.read())
        except OSError:
            self._origin_us = now_us
            with open(in_world(ORIGIN_FILE + ".new"), "w") as f:
                f.write(str(now_us))
            os.rename(in_world(ORIGIN_FILE + ".new"), in_world(ORIGIN_FILE))
            now_us -= 1  # sample 0 is due at once
        for stream, rate_hz in enumerate(self._rates_hz):
            self._next[stream] = (now_us - self._origin_us) * rate_hz // 1_000_000 + 1

    def stop(self):
        """Switch the sensors off."""

    def take(self, stream, body, at, room):
        """Copy at most `room` samples into `body` from `at` on; return how many."""
        rate_hz = self._rates_hz[stream]
        taken = self._next[stream]
        due = (self._now_us() - self._origin_us) * rate_hz // 1_000_000 + 1 - taken
        self.skipped = 0
        if due > FIFO_S * rate_hz:
            self.skipped = due - FIFO_S * rate_hz
            taken += self.skipped
            due -= self.skipped
            self._next[stream] = taken
        # a count short of `room` says that there is no more: so over the end of a second, too
        count = 0
        wanted = min(due, room)
        while count < wanted:
            copied = self._copy(stream, taken + count, wanted - count, body, at)
            if not copied:
                break
            count += copied
            at += copied * self._sample_bytes[stream]
        if count:
            sample_us = self._origin_us + taken * 1_000_000 // rate_hz
            self.sample_ticks = (sample_us + self._ticks_offset_us) & 0xFFFFFFFF
            self._next[stream] = taken + count
        return count

    def _copy(self, stream, first, most, body, at):
        """Copy samples of the second that sample `first` is in; return how many."""
        rate_hz = self._rates_hz[stream]
        second = first // rate_hz
        within = first - second * rate_hz
        slot = second & 1
        if self._slot_seconds[slot] != second and not self._load(slot, second):
            return 0
        count = min(most, rate_hz - within)
        size = self._sample_bytes[stream]
        begin = self._begins[stream] + within * size
        body[at : at + count * size] = memoryview(self._slots[slot])[begin : begin + count * size]
        return count

    def _load(self, slot, second):
        if self._at_rest:
            self._slot_seconds[slot] = second
            return True
        try:
            with open(second_file(second), "rb") as f:
                f.readinto(self._slots[slot])
        except OSError:
            return False  # hardware.py is late; the samples stay due, and run over if it stays so
        self._slot_seconds[slot] = second
        return True

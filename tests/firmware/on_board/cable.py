"""How both boards write to their cable: never more than it takes at once."""

import bench  # noqa: F401 - first of all: it puts `machine` and `time` in their places
import board_esp32
import board_rp2
import machine_bench
from bench import clock, configure, equal, near, run


class Usb:
    """MicroPython's USB port: a buffer of 256 bytes, and the packet of at most 64 that the host may fetch."""

    def __init__(self):
        self.waiting = 0
        self.packet = 0
        self.got = bytearray()
        self.waits = 0

    def host(self, packets):
        """Fetch so many packets."""
        for _ in range(packets):
            self.packet = min(64, self.waiting)
            self.waiting -= self.packet

    def write(self, data):
        length = len(data)
        assert length <= 64, length
        if length > 256 - self.waiting:
            self.waits += 1
            length = 256 - self.waiting
        self.got += data[:length]
        self.waiting += length
        if not self.packet:  # each write flushes: what there is becomes a packet, full or not
            self.host(1)
        return length

    def ipoll(self, timeout):
        return (1,) if self.waiting < 256 else ()


def scenario_rp2_never_waits_for_a_host_that_reads_slowly_or_not_at_all():
    configure({})
    board = board_rp2.Board()
    usb = board._out = board._out_poll = Usb()
    sent = bytearray()
    for turn in range(600):
        if turn % 3 == 0:
            frames = bytearray([1 + turn % 250] * (1 + turn * 37 % 150)) + b"\0"
            begin = 0
            while begin < len(frames):  # what the cable did not take stays with the program, and goes first
                taken = board.write_host(frames, begin, len(frames))
                sent += frames[begin : begin + taken]
                begin += taken
                if begin < len(frames):
                    usb.host(1)
                    board.wait(0)
        usb.host(0 if 100 < turn < 200 else turn * 7 % 3)
        board.wait(0)
    for _ in range(8):
        usb.host(8)
        board.wait(0)
    equal(usb.waits, 0, "times that a write would have waited")
    told = [f for f in bytes(usb.got).split(b"\0") if f]
    equal(told, [f for f in bytes(sent).split(b"\0") if f], "frames")
    assert len(usb.got) % 64 == 0, len(usb.got)


def scenario_rp2_a_frame_leaves_at_once():
    configure({})
    board = board_rp2.Board()
    usb = board._out = board._out_poll = Usb()
    frame = bytearray([7] * 99) + b"\0"
    equal(board.write_host(frame, 0, 60), 60, "taken of a frame that does not end")
    equal(len(usb.got), 0, "on its way")
    equal(board.write_host(frame, 60, 100), 40, "taken of the rest")
    equal(bytes(usb.got), bytes(frame) + bytes(28), "on its way")


def scenario_rp2_takes_nothing_while_the_buffer_is_full():
    configure({})
    board = board_rp2.Board()
    usb = board._out = board._out_poll = Usb()
    frame = bytearray([7] * 999) + b"\0"
    equal(board.write_host(frame, 0, 1000), 256 + 64 + 64, "taken: buffer, packet, and the one that we fill")
    equal(board.write_host(frame, 384, 1000), 0, "taken while it is full")
    equal(usb.waits, 0, "waits")


class Uart:
    """The ESP32's FIFO of 128 bytes at 921600 baud."""

    def __init__(self):
        self.filled = 0.0
        self.at_us = clock.now_us()
        self.total = 0
        self.waits = 0

    def write(self, buffer, offset, length):
        now_us = clock.now_us()
        self.filled = max(0.0, self.filled - (now_us - self.at_us) * 0.09216)
        self.at_us = now_us
        self.filled += length
        self.total += length
        if self.filled > 128:
            self.waits += 1
        return length


def scenario_esp32_never_writes_more_than_has_room():
    configure({})
    board = board_esp32.Board()
    equal(machine_bench.speeds_baud[0], 921_600, "baud")
    uart = board._out = Uart()
    frames = bytearray([7] * 4000)
    for turn in range(5000):
        clock.advance(50 + turn * 977 % 3000)
        board.write_host(frames, 0, len(frames))
    equal(uart.waits, 0, "times that a write would have waited")
    clock.advance((1 << 29) + 12345)  # so long that the ticks' distance turns negative
    equal(board.write_host(frames, 0, 500), 128, "after a long pause")
    for _ in range(1000):
        clock.advance(1000)
        board.write_host(frames, 0, len(frames))
    near(uart.total, 5000 * 120, 500_000, "bytes")


run(globals())

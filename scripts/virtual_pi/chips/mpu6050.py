"""MPU-6050: InvenSense's register map RM-MPU-6000A-00, revision 4.2; the FIFO in 4.30 and 4.31.

It wakes up asleep. The FIFO holds 1024 bytes, which is no whole number of frames of 12: when it is full each
new byte pushes out the oldest, so that after an overflow it begins in the middle of a frame. FIFO_COUNT is
taken when its high byte is read. Reading an empty FIFO gives the last byte again. WHO_AM_I is 0x68 whatever
AD0 says (4.32).
"""

from __future__ import annotations

from scripts.virtual_pi.chips.base import NEVER_HZ, RegisterChip

SELF_TEST_X, SELF_TEST_A = 0x0D, 0x10
SMPLRT_DIV = 0x19
CONFIG = 0x1A
GYRO_CONFIG = 0x1B
ACCEL_CONFIG = 0x1C
FIFO_EN = 0x23
INT_STATUS = 0x3A
ACCEL_XOUT_H, GYRO_ZOUT_L = 0x3B, 0x48
USER_CTRL = 0x6A
PWR_MGMT_1 = 0x6B
FIFO_COUNT_H, FIFO_COUNT_L, FIFO_R_W = 0x72, 0x73, 0x74
WHO_AM_I = 0x75
READ_ONLY = {*range(SELF_TEST_X, SELF_TEST_A + 1), *range(INT_STATUS, 0x61)}
READ_ONLY |= {FIFO_COUNT_H, FIFO_COUNT_L, WHO_AM_I}

IDENTITY = 0x68
FIFO_BYTES = 1024
DEVICE_RESET, SLEEP = 0x80, 0x40  # PWR_MGMT_1
USE_FIFO, FIFO_RESET = 0x40, 0x04  # USER_CTRL
FIFO_OFLOW_INT, DATA_RDY_INT = 0x10, 0x01
ACCEL_TEST = (14, 16, 18)  # XA_TEST, YA_TEST, ZA_TEST of this chip, from the factory
GYRO_TEST = (12, 20, 24)
TRIM_CHANGE = 1.03  # self-test response against factory trim; +-14 % are allowed
ROOM_TEMPERATURE = -3920  # (25 - 36.53) * 340, 4.18


def accel_trim() -> list[float]:
    """Return the factory trim of each axis in counts at +-8 g (4.1)."""
    return [4096 * 0.34 * (0.92 / 0.34) ** ((code - 1) / (2**5 - 2)) for code in ACCEL_TEST]


def gyro_trim() -> list[float]:
    """Return the factory trim of each axis in counts at +-250 degrees a second (4.1)."""
    signs = (1, -1, 1)
    return [sign * 25 * 131 * 1.046 ** (code - 1) for sign, code in zip(signs, GYRO_TEST, strict=True)]


class Mpu6050(RegisterChip):
    """Registers, data registers, FIFO and self-test. Axes: accel x y z, gyro x y z, 16 bits each."""

    default_address = 0x68
    axes = 6
    coded_bits = 16

    def reset(self) -> None:
        """Section 3: all 0, but asleep; and the values from the factory."""
        self.registers[:] = bytes(256)
        self.registers[PWR_MGMT_1] = SLEEP
        for axis in range(3):
            accel = ACCEL_TEST[axis]
            self.registers[SELF_TEST_X + axis] = accel >> 2 << 5 | GYRO_TEST[axis]
            self.registers[SELF_TEST_A] |= (accel & 3) << (4 - 2 * axis)
        self.temperature_raw = ROOM_TEMPERATURE
        self._layout = 0  # FIFO_EN as it was when what is in the FIFO went in
        self._frame = 12  # bytes of each frame of it
        self._filling = False
        self._cut = 0  # bytes of the oldest frame that are gone, read or pushed out
        self._partly_lost = False  # whether some of them were pushed out; it counts as lost already
        self._unread: int | None = None  # a sample in the data registers, with the FIFO off
        self._newest: tuple[int, tuple[int, ...]] = (-1, (0,) * 6)
        self._head: tuple[int, bytes] = (-1, b"")
        self._count = 0  # FIFO_COUNT as it was taken
        self._last_byte = 0
        self._status = 0

    @property
    def waiting(self) -> int:
        """How many samples wait to be read, in the FIFO or the data registers."""
        self.update()
        return len(self._fifo) + (self._unread is not None) - self._partly_lost

    def shifts(self) -> tuple[int, ...]:
        """Self-test, as the configuration of each axis says."""
        accel, gyro = self.registers[ACCEL_CONFIG], self.registers[GYRO_CONFIG]
        if not (accel | gyro) & 0xE0 or self.self_test_fails:
            return (0,) * 6
        accel_scale = TRIM_CHANGE * 2.0 ** (2 - (accel >> 3 & 3))
        gyro_scale = TRIM_CHANGE * 2.0 ** -(gyro >> 3 & 3)
        values = [trim * accel_scale if accel & 0x80 >> n else 0 for n, trim in enumerate(accel_trim())]
        values += [trim * gyro_scale if gyro & 0x80 >> n else 0 for n, trim in enumerate(gyro_trim())]
        return tuple(round(value) for value in values)

    def set_register(self, register: int, value: int) -> None:
        """Write one register; those that are read-only stay."""
        self.update()
        if register in READ_ONLY:
            return
        if register == PWR_MGMT_1 and value & DEVICE_RESET:
            self.power_cycle()
            return
        if register in (ACCEL_CONFIG, GYRO_CONFIG):
            self._latest()
            self.fix_waiting()
        if register == USER_CTRL:
            # "when set to 1 while FIFO_EN equals 0", 4.27
            if value & FIFO_RESET and not value & USE_FIFO:
                self.discard()
            value &= ~0x07  # the reset bits clear themselves
        self.registers[register] = value
        if register in (USER_CTRL, FIFO_EN):
            self._apply_fifo()
        elif register in (PWR_MGMT_1, SMPLRT_DIV, CONFIG):
            power = self.registers[PWR_MGMT_1]
            gyro_hz = 8000 if self.registers[CONFIG] & 7 in (0, 7) else 1000
            rate_hz = gyro_hz / (1 + self.registers[SMPLRT_DIV])
            if power & SLEEP or power & 7 == 7:
                rate_hz = NEVER_HZ
            if rate_hz != self._rate_hz:
                self.measure(rate_hz)

    def _apply_fifo(self) -> None:
        layout = self.registers[FIFO_EN] & 0xF8
        self._filling = bool(layout and self.registers[USER_CTRL] & USE_FIFO)
        if not self._filling:
            return
        if self._unread is not None:
            self._unread = None
            self.discarded += 1
        if layout != self._layout:
            self.discard()  # a mixture of two formats is of no use to anybody
            self._layout = layout
            self._frame = (6 if layout & 0x08 else 0) + 2 * (layout >> 4).bit_count()

    def discard(self) -> None:
        """Empty the FIFO."""
        super().discard()
        self.discarded -= self._partly_lost
        if self._unread is not None:
            self._unread = None
            self.discarded += 1
        self._cut = 0
        self._partly_lost = False

    def arrive(self, first: int, end: int) -> None:
        """Store; bytes for which there is no room push out the oldest."""
        self._status |= DATA_RDY_INT
        if not self._filling:
            self._lost += end - first - (self._unread is None)
            self._unread = end - 1
            return
        fifo, frame = self._fifo, self._frame
        excess = (len(fifo) + end - first) * frame - self._cut - FIFO_BYTES
        if excess <= 0:
            fifo.extend(range(first, end))
            return
        self._status |= FIFO_OFLOW_INT
        self.overrun = True
        frames, cut = divmod(self._cut + excess, frame)
        if frames:
            self._lost += frames - self._partly_lost
            self._partly_lost = False
        for _ in range(min(frames, len(fifo))):
            self._fixed.pop(fifo.popleft(), None)
            frames -= 1
        fifo.extend(range(first + frames, end))
        self._cut = cut
        if cut and not self._partly_lost:
            self._partly_lost = True
            self._lost += 1

    def _frame_bytes(self) -> bytes:
        """Return the oldest frame, in the order of the registers."""
        k = self._fifo[0]
        if self._head[0] != k:
            values = self.values(k)
            words: list[int] = list(values[:3]) if self._layout & 0x08 else []
            others = (self._temperature(k), *values[3:])
            words += [value for n, value in enumerate(others) if self._layout & 0x80 >> n]
            self._head = k, b"".join((word & 0xFFFF).to_bytes(2) for word in words)
        return self._head[1]

    def _temperature(self, k: int) -> int:
        return self.temperature_raw + (k & 15)

    def _latest(self) -> tuple[int, ...]:
        """Return the newest sample, which stays in the data registers as it was."""
        self.update()
        if self._made and self._newest[0] != self._made - 1:
            self._newest = self._made - 1, self.values(self._made - 1)
        return self._newest[1]

    def give(self, count: int) -> bytes:
        """Give registers; at FIFO_R_W, as much of the FIFO as is asked for."""
        self.update()
        if self.pointer == FIFO_R_W:
            return self._pop_bytes(count)
        if self.pointer <= GYRO_ZOUT_L and self.pointer + count > ACCEL_XOUT_H:
            self._latest()
            if self._unread is not None:
                self._unread = None
                self.given += 1
        answer = bytearray()
        while len(answer) < count and self.pointer != FIFO_R_W:
            answer.append(self.get_register(self.pointer))
            self.pointer = self.after(self.pointer)
        return bytes(answer) + self._pop_bytes(count - len(answer))

    def _pop_bytes(self, count: int) -> bytes:
        answer = bytearray()
        while len(answer) < count and self._fifo:
            rest = self._frame_bytes()[self._cut :][: count - len(answer)]
            answer += rest
            self._cut += len(rest)
            if self._cut == self._frame:
                self.pop()
                self.given -= self._partly_lost
                self._cut = 0
                self._partly_lost = False
        if answer:
            self._last_byte = answer[-1]
        return bytes(answer).ljust(count, bytes((self._last_byte,)))

    def get_register(self, register: int) -> int:
        """Return what is held, and what follows from the samples."""
        if register == WHO_AM_I:
            return IDENTITY if self.identity is None else self.identity
        if register == INT_STATUS:
            status, self._status = self._status, 0
            self.overrun = False
            return status
        if ACCEL_XOUT_H <= register <= GYRO_ZOUT_L:
            words = self._newest[1]
            words = (*words[:3], self._temperature(max(0, self._newest[0])), *words[3:])
            word, low = divmod(register - ACCEL_XOUT_H, 2)
            return words[word] >> (0 if low else 8) & 0xFF
        if register == FIFO_COUNT_H:
            self._count = len(self._fifo) * self._frame - self._cut
            return self._count >> 8
        if register == FIFO_COUNT_L:
            return self._count & 0xFF
        return self.registers[register]

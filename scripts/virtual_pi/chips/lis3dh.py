"""LIS3DH: ST's data sheet DocID17530 revision 2; register map in table 20, FIFO in 5.1, self-test in table 4.

A register number counts on only with bit 7 set, and with the FIFO on from 0x2D back to 0x28, so that
one read gives many samples. FIFO_SRC counts to 31; the overrun bit says that it is full, until one
of them is read. A value is left-justified: 8, 10 or 12 bits of it, as LPen and HR say.
"""

from __future__ import annotations

from scripts.virtual_pi.chips.base import NEVER_HZ, RegisterChip

WHO_AM_I = 0x0F
CTRL_REG0, CTRL_REG1, CTRL_REG4, CTRL_REG5 = 0x1E, 0x20, 0x23, 0x24
STATUS_REG = 0x27
OUT_X_L, OUT_Z_H = 0x28, 0x2D
FIFO_CTRL = 0x2E
FIFO_SRC = 0x2F
READ_ONLY = {*range(0x1E), STATUS_REG, *range(OUT_X_L, OUT_Z_H + 1), FIFO_SRC, 0x31, 0x35, 0x39}
READ_ONLY |= {*range(0x40, 0x80)}

IDENTITY = 0x33
LEVELS = 32
RATES_HZ = {1: 1, 2: 10, 3: 25, 4: 50, 5: 100, 6: 200, 7: 400, 9: 1344}  # table 31; the rest below
LOW_POWER_HZ = {8: 1600, 9: 5376}
SELF_TEST = 100  # counts of 4 mg; table 4: 17 to 360
COARSER = (1, 2, 4, 12)  # sensitivity of each full scale against that of 2 g, table 4


class Lis3dh(RegisterChip):
    """Registers; bypass, FIFO and stream mode; self-test. Counts are right-justified, as wide as the mode."""

    default_address = 0x18
    coded_bits = 8  # of low-power mode, so that the default signal is the same in each

    def reset(self) -> None:
        """Table 20."""
        self.registers[:] = bytes(256)
        self._counts_on = False
        self.registers[CTRL_REG0] = 0x10
        self.registers[CTRL_REG1] = 0x07
        self._apply_mode()

    @property
    def bits(self) -> int:
        """Width of a sample."""
        if self.registers[CTRL_REG1] & 0x08:
            return 8
        return 12 if self.registers[CTRL_REG4] & 0x08 else 10

    def limits(self) -> tuple[int, int]:
        """Two's complement of `bits`."""
        half = 1 << (self.bits - 1)
        return -half, half - 1

    def shifts(self) -> tuple[int, ...]:
        """Self-test 0 adds, self-test 1 takes away (ST of CTRL_REG4)."""
        control = self.registers[CTRL_REG4]
        mode = control >> 1 & 3
        if mode in (0, 3) or self.self_test_fails:
            return (0, 0, 0)
        # 10 bits are 4 mg a count at 2 g.
        shift = (SELF_TEST << self.bits >> 10) // COARSER[control >> 4 & 3]
        return (shift if mode == 1 else -shift,) * 3

    def set_register(self, register: int, value: int) -> None:
        """Write one register; those that are read-only or reserved stay."""
        if register in READ_ONLY:
            return
        if register in (CTRL_REG1, CTRL_REG4):
            self.fix_waiting()
        if register == CTRL_REG5:
            value &= 0x7F  # BOOT clears itself
        self.registers[register] = value
        if register == CTRL_REG1:
            code, low_power = value >> 4, value & 0x08
            rates = RATES_HZ | LOW_POWER_HZ if low_power else RATES_HZ
            rate_hz = rates.get(code, NEVER_HZ)
            if rate_hz != self._rate_hz:
                self.measure(rate_hz)
        elif register in (CTRL_REG5, FIFO_CTRL):
            self._apply_mode()

    @property
    def fifo_on(self) -> bool:
        """Whether samples go through the FIFO."""
        return bool(self.registers[CTRL_REG5] & 0x40 and self.registers[FIFO_CTRL] >> 6)

    def _apply_mode(self) -> None:
        self.update()
        if not self.fifo_on:
            self.discard()
        self.depth = LEVELS if self.fifo_on else 1
        self.keeps_oldest = self.fifo_on and self.registers[FIFO_CTRL] >> 6 == 1

    def take(self, data: bytes) -> bool:
        """Set the pointer; bit 7 of it says whether it counts on."""
        if data:
            self._counts_on = bool(data[0] & 0x80)
            super().take(bytes((data[0] & 0x7F,)) + data[1:])
        return True

    def after(self, register: int) -> int:
        """Return the register that follows."""
        if not self._counts_on:
            return register
        if register == OUT_Z_H and self.fifo_on:
            return OUT_X_L
        return register + 1 & 0x7F

    def give(self, count: int) -> bytes:
        """Give registers; a sample is gone when its last byte was read."""
        self.update()
        answer = bytearray()
        while len(answer) < count:
            if self.pointer == OUT_X_L and self._counts_on and count - len(answer) >= 6:
                answer += self._data()
                self._popped()
                self.pointer = self.after(OUT_Z_H)
                continue
            answer.append(self.get_register(self.pointer))
            if self.pointer == OUT_Z_H:
                self._popped()
            self.pointer = self.after(self.pointer)
        return bytes(answer)

    def _data(self) -> bytes:
        left = 16 - self.bits
        data = b"".join((value << left & 0xFFFF).to_bytes(2, "little") for value in self.oldest())
        if self.registers[CTRL_REG4] & 0x40:  # BLE
            data = b"".join(data[at : at + 2][::-1] for at in (0, 2, 4))
        return data

    def _popped(self) -> None:
        self.pop()
        self.overrun = False

    def get_register(self, register: int) -> int:
        """Return what is held, and what follows from the samples."""
        if register == WHO_AM_I:
            return IDENTITY if self.identity is None else self.identity
        if OUT_X_L <= register <= OUT_Z_H:
            return self._data()[register - OUT_X_L]
        waiting = len(self._fifo)
        if register == STATUS_REG:
            return (0x0F if waiting else 0) | (0xF0 if self.overrun else 0)
        if register == FIFO_SRC:
            if not self.fifo_on or not waiting:
                return 0x20
            watermark = min(waiting, 31) >= self.registers[FIFO_CTRL] & 0x1F
            return (0x80 if watermark else 0) | (0x40 if waiting == LEVELS else 0) | min(waiting, 31)
        return self.registers[register]

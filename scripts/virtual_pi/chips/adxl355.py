"""ADXL355: Analog Devices' data sheet ADXL354/ADXL355, revision D; sections "FIFO", "Status", "Register map".

The FIFO has 96 locations of one axis each: 20 bits left-justified in three bytes, bit 0 set in those of the
x axis, bit 1 set when there was nothing to read. Reading on at FIFO_DATA stays there. It runs whenever the
chip measures and drops the oldest set when it is full; FIFO_OVR stays until STATUS is read, and so does
DATA_RDY. Standby resets the FIFO, and is the only state in which FILTER, SYNC and RANGE can be written
(description of POWER_CTL).
"""

from __future__ import annotations

from scripts.virtual_pi.chips.base import NEVER_HZ, RegisterChip

DEVID_AD, DEVID_MST, PARTID, REVID = 0x00, 0x01, 0x02, 0x03
STATUS = 0x04
FIFO_ENTRIES = 0x05
TEMP2, TEMP1 = 0x06, 0x07
XDATA3, ZDATA1 = 0x08, 0x10
FIFO_DATA = 0x11
FILTER = 0x28
FIFO_SAMPLES = 0x29
SYNC = 0x2B
RANGE = 0x2C
POWER_CTL = 0x2D
SELF_TEST = 0x2E
RESET = 0x2F
SHADOW = 0x50
RESET_VALUES = {0x00: 0xAD, 0x01: 0x1D, 0x02: 0xED, 0x03: 0x01, 0x29: 0x60, 0x2C: 0x81, 0x2D: 0x01}
SHADOW_VALUES = bytes((0x4C, 0x13, 0xA5, 0x07, 0x3E))  # of this chip, from the factory
WRITABLE = {*range(0x1E, 0x30)}

RESET_CODE = 0x52
STANDBY = 0x01
SETS = 32
MARKER, EMPTY = 0x01, 0x02
DATA_RDY, FIFO_FULL, FIFO_OVR = 0x01, 0x02, 0x04
LSB_PER_G = {1: 256_000, 2: 128_000, 3: 64_000}
SELF_TEST_G = (0.3, 0.3, 1.5)  # table 2, typical
ROOM_TEMPERATURE = 1885  # 25 degC, table 2


class Adxl355(RegisterChip):
    """Registers, data registers, FIFO and self-test. 20 bits; `damage`: markers on the wrong axis."""

    default_address = 0x1D
    coded_bits = 20

    def reset(self) -> None:
        """As the register map says."""
        self.registers[:] = bytes(256)
        for register, value in RESET_VALUES.items():
            self.registers[register] = value
        self.registers[SHADOW : SHADOW + 5] = SHADOW_VALUES
        self.depth = SETS
        self.temperature_raw = ROOM_TEMPERATURE
        self._word = 0  # words of the oldest set that were read
        self._seen = self._made  # samples of which STATUS was read
        self._latest: tuple[int, tuple[int, ...]] = (self._made - 1, (0, 0, 0))  # in the data registers

    def shifts(self) -> tuple[int, ...]:
        """Self-test: ST1 enables it, ST2 applies the force."""
        if self.registers[SELF_TEST] & 3 != 3 or self.self_test_fails:
            return (0, 0, 0)
        lsb_per_g = LSB_PER_G.get(self.registers[RANGE] & 3, 256_000)
        return tuple(int(g * lsb_per_g) for g in SELF_TEST_G)

    def set_register(self, register: int, value: int) -> None:
        """Write one register; some only in standby."""
        self.update()
        standby = self.registers[POWER_CTL] & STANDBY
        if register == RESET:
            if value == RESET_CODE:
                self.power_cycle()
            return
        if register not in WRITABLE or (register in (FILTER, SYNC, RANGE) and not standby):
            return
        if register == SELF_TEST:
            self._take_latest()
            self.fix_waiting()
        self.registers[register] = value
        if register == POWER_CTL:
            if value & STANDBY and not standby:
                self.measure(NEVER_HZ)
                self.discard()
                self._word = 0
            elif standby and not value & STANDBY:
                self.measure(4000 / (1 << min(10, self.registers[FILTER] & 0x0F)))

    def arrive(self, first: int, end: int) -> None:
        """Store; a set of which a part was read goes as a whole."""
        oldest = self._fifo[0] if self._fifo else None
        super().arrive(first, end)
        if oldest is not None and self._fifo[0] != oldest:
            self._word = 0

    def _take_latest(self) -> None:
        self.update()
        if self._latest[0] != self._made - 1:
            self._latest = self._made - 1, self.values(self._made - 1)

    def give(self, count: int) -> bytes:
        """Give registers, or words of the FIFO for as long as it is asked."""
        self.update()
        if self.pointer == FIFO_DATA:
            return b"".join(self._pop_word() for _ in range((count + 2) // 3))[:count]
        if self.pointer <= ZDATA1 and self.pointer + count > XDATA3:
            self._take_latest()
        answer = bytearray()
        while len(answer) < count and self.pointer != FIFO_DATA:
            answer.append(self.get_register(self.pointer))
            self.pointer = self.after(self.pointer)
        rest = count - len(answer)
        return bytes(answer) + (self.give(rest) if rest else b"")

    def _pop_word(self) -> bytes:
        if not self._fifo:
            value, mark = self._last[2], EMPTY
        else:
            value, mark = self.oldest()[self._word], 0
            if self._word == (1 if self.damage else 0):
                mark = MARKER
            self._word += 1
            if self._word == 3:
                self._word = 0
                self.pop()
        return ((value & 0xFFFFF) << 4 | mark).to_bytes(3)

    def get_register(self, register: int) -> int:
        """Return what is held, and what follows from the samples."""
        if register == PARTID and self.identity is not None:
            return self.identity
        if register == STATUS:
            full = self._entries() >= self.registers[FIFO_SAMPLES]
            status = (DATA_RDY if self._made > self._seen else 0) | (FIFO_FULL if full else 0)
            status |= FIFO_OVR if self.overrun else 0
            self.overrun = False
            self._seen = self._made
            return status
        if register == FIFO_ENTRIES:
            return self._entries()
        if register in (TEMP2, TEMP1):
            return self.temperature_raw >> (8 if register == TEMP2 else 0) & 0xFF
        if XDATA3 <= register <= ZDATA1:
            axis, byte = divmod(register - XDATA3, 3)
            return (self._latest[1][axis] & 0xFFFFF) << 4 >> (16 - 8 * byte) & 0xFF
        return self.registers[register]

    def _entries(self) -> int:
        return 3 * len(self._fifo) - self._word

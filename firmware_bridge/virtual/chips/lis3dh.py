"""LIS3DH: ST's DocID17530 revision 2, register map in table 20."""

from chips.base import FifoChip

RATES_HZ = {0: 0, 1: 1, 2: 10, 3: 25, 4: 50, 5: 100, 6: 200, 7: 400, 9: 1344}


class Lis3dhChip(FifoChip):
    """Registers, and the FIFO in bypass and in stream mode; an address with bit 7 counts on."""

    def power_cycle(self):
        """Reset values."""
        self.registers = bytearray(256)
        self.registers[0x0F] = 0x33
        self.registers[0x20] = 0x07
        self.measure(0)
        self.clear()

    def set(self, register, value):
        """Take one register."""
        if register in (0x0F, 0x2F):
            return
        self.registers[register] = value
        if register == 0x20:
            self.measure(RATES_HZ[value >> 4])
        if register == 0x2E and value >> 6 == 0:
            self.clear()

    def read_into(self, register, buffer):
        """Give registers; with the FIFO on, the address goes from 0x2D back to 0x28."""
        self.update()
        waiting = len(self.fifo)
        # 32 samples: 31 and the overrun bit, figure 11
        self.registers[0x2F] = 0x40 | 31 if waiting == 32 else waiting if waiting else 0x20
        counts_on = bool(register & 0x80)
        register &= 0x7F
        if register == 0x28 and len(buffer) >= 6:
            for at in range(0, len(buffer), 6):
                self.pop_into(buffer, at)
            self.overrun = False
            return
        if counts_on or len(buffer) == 1:
            super().read_into(register, buffer)
        else:
            for i in range(len(buffer)):
                buffer[i] = self.registers[register]

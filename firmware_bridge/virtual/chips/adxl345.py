"""ADXL345: datasheet revision G, register map in table 19."""

from chips.base import FifoChip

RATES_HZ = {8: 25, 9: 50, 10: 100, 11: 200, 12: 400, 13: 800, 14: 1600, 15: 3200}


class Adxl345Chip(FifoChip):
    """Registers, and the FIFO in bypass and in stream mode."""

    def power_cycle(self):
        """Reset values: all 0 but the identity and BW_RATE."""
        self.registers = bytearray(256)
        self.registers[0x00] = 0xE5
        self.registers[0x2C] = 0x0A
        self.measure(0)
        self.clear()

    def set(self, register, value):
        """Take one register."""
        if register == 0 or 0x01 <= register <= 0x1C or register in (0x30, 0x39):
            return  # read only or reserved
        self.registers[register] = value
        if register == 0x2D:
            self.measure(RATES_HZ[self.registers[0x2C] & 0x0F] if value & 0x08 else 0)
        if register == 0x38 and value >> 6 == 0:
            self.clear()

    def read_into(self, register, buffer):
        """Give registers; reading the data takes a sample from the FIFO, and clears the overrun."""
        self.update()
        streaming = self.registers[0x38] >> 6 == 2
        self.registers[0x39] = len(self.fifo) if streaming else 0
        self.registers[0x30] = (0x80 if self.fifo else 0) | (1 if self.overrun else 0)
        if register == 0x32 and len(buffer) == 6:
            self.pop_into(buffer, 0)
            self.overrun = False
            return
        super().read_into(register, buffer)

"""A board with its chips, in real time: the program itself on a real board module, at the end of a cable."""

import sys

import machine_bench
import parts  # noqa: F401 - puts `machine` in its place

machine_bench.use_bench_time()

from chips.adxl345 import Adxl345Chip  # noqa: E402
from chips.bme280 import Bme280Chip  # noqa: E402
from chips.hx711 import Hx711Chip  # noqa: E402
from chips.lis3dh import Lis3dhChip  # noqa: E402

LOCK_PIN = 15


class Launcher:
    slot = "a"
    trial = False


def note(level):
    """Leave word of what the lock does."""
    with open("lock", "w") as file:
        file.write(str(level))


machine_bench.spi_chips[2] = {5: Adxl345Chip()}
machine_bench.spi_chips[0] = {17: Adxl345Chip()}
machine_bench.i2c_chips[0] = {0x76: Bme280Chip(), 0x18: Lis3dhChip()}
for i, pin in enumerate((26, 27, 32, 33)):
    Hx711Chip(25, pin, lambda k, i=i: -1000 * i)
machine_bench.volts[34] = machine_bench.volts[26] = 1.0
machine_bench.net(LOCK_PIN).listeners.append(note)

import program  # noqa: E402

program.HOST_QUIET_US = int(sys.argv[1])
program.run(Launcher())

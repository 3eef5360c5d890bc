"""Chips that no driver of ours reads, and how each is known: by a register that is there to tell.

People have them on the same bus, or soldered one in the belief that it is another. Only reads, and only of
registers whose reading changes nothing. From the data sheets of each: the register named WHO_AM_I,
chip id, device id or manufacturer id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.sources.drivers.base import ChipError, Place
from agent.sources.drivers.mpu6050 import OTHERS as MPU_IDENTITIES
from agent.sources.drivers.mpu6050 import WHO_AM_I as MPU_WHO_AM_I
from agent.sources.drivers.sht4x import crc8

# chips of cargo boxes and of the boards that people put beside them; what sits at an address by custom
USUAL: dict[int, str] = {
    0x18: "LIS3DH",
    0x19: "LIS3DH",
    0x1D: "ADXL345, ADXL355",
    0x20: "MCP23017",
    0x27: "LCD, PCF8574",
    0x28: "BNO055, HSC pressure",
    0x29: "VL53L0X",
    0x2A: "NAU7802",
    0x36: "MAX17048",
    0x3C: "SSD1306 display",
    0x40: "INA219, SHT21, HTU21D",
    0x44: "SHT4x, SHT3x",
    0x45: "SHT4x, SHT3x",
    0x48: "ADS1115",
    0x49: "ADS1115",
    0x50: "EEPROM",
    0x53: "ADXL345, ADXL355",
    0x57: "EEPROM of a DS3231 board",
    0x5C: "LPS22, AM2320",
    0x5D: "LPS22",
    0x62: "SCD4x",
    0x68: "DS3231 clock, MPU-6050",
    0x69: "MPU-6050",
    0x6A: "LSM6DS",
    0x6B: "LSM6DS",
    0x70: "TCA9548A",
    0x76: "BME280, BMP280",
    0x77: "BME280, BMP280",
}

# of our own chips: others that have the same identity, so that no question can tell them apart
ALIKE: dict[str, str] = {
    "ADXL345": "ADXL343 and ADXL375",
    "ADXL355": "ADXL357",
    "LIS3DH": "LIS2DH12 and LSM303AGR",
    "MPU-6050": "MPU-6000 and MPU-9150",
}


@dataclass(frozen=True, slots=True)
class Stranger:
    """A chip of `name`, which has `value` in `register`; under `mask`, where not every bit tells."""

    name: str
    addresses: tuple[int, ...]
    register: int
    value: bytes
    mask: bytes = b""

    def is_at(self, place: Place) -> bool:
        """Ask. Raises `ChipError` when it does not answer."""
        found = place.read_registers(self.register, len(self.value))
        if not self.mask:
            return found == self.value
        # a bus that nobody drives reads as ones, an EEPROM as whatever it holds
        if len(set(found)) == 1:
            return False
        return bytes(f & m for f, m in zip(found, self.mask, strict=True)) == self.value


def _of(addresses: tuple[int, ...], register: int, names: dict[int, str]) -> Iterator[Stranger]:
    for value, name in names.items():
        yield Stranger(name, addresses, register, bytes((value,)))


_BOSCH = (0x76, 0x77)
_MPU = (0x68, 0x69)
_ST_ACCEL = (0x18, 0x19)
_ST_IMU = (0x6A, 0x6B)
_ST_PRESSURE = (0x5C, 0x5D)
_INA = tuple(range(0x40, 0x50))
_ADXL = (0x1D, 0x53)
_MMA = (0x1C, 0x1D)

STRANGERS: tuple[Stranger, ...] = (
    *_of(_BOSCH, 0xD0, {0x55: "BMP180", 0x56: "BMP280", 0x57: "BMP280", 0x58: "BMP280", 0x61: "BME680"}),
    *_of(_BOSCH, 0x00, {0x50: "BMP388", 0x60: "BMP390"}),
    *_of(_MPU, MPU_WHO_AM_I, MPU_IDENTITIES),
    *_of(_MPU, MPU_WHO_AM_I, {0x47: "ICM-42688-P"}),
    *_of(_MPU, 0x00, {0xEA: "ICM-20948", 0xD1: "BMI160", 0x24: "BMI270"}),
    *_of(_ADXL, 0x00, {0xE6: "ADXL346"}),
    *_of(_ADXL, 0x02, {0xFA: "ADXL372", 0xF7: "ADXL367"}),
    *_of(_MMA, 0x0D, {0x1A: "MMA8451", 0x2A: "MMA8452", 0x3A: "MMA8453", 0xC7: "FXOS8700"}),
    *_of(_ST_ACCEL, 0x0F, {0x32: "LIS331", 0x44: "LIS2DW12", 0x11: "LIS3DHH"}),
    *_of(
        _ST_IMU,
        0x0F,
        {
            0x68: "LSM9DS1",
            0x69: "LSM6DS3",
            0x6A: "LSM6DSL",
            0x6B: "ISM330DHCX",
            0x6C: "LSM6DSO",
            0xD7: "L3GD20H",
        },
    ),
    *_of(_ST_PRESSURE, 0x0F, {0xB1: "LPS22HB", 0xB3: "LPS22HH", 0xBD: "LPS25HB"}),
    *_of((0x28, 0x29), 0x00, {0xA0: "BNO055"}),
    *_of((0x29,), 0xC0, {0xEE: "VL53L0X"}),
    *_of((0x1E,), 0x0F, {0x3D: "LIS3MDL"}),
    Stranger("HMC5883L", (0x1E,), 0x0A, b"H43"),
    Stranger("MCP9808", tuple(range(0x18, 0x20)), 0x06, bytes((0x00, 0x54))),
    Stranger("TMP117", tuple(range(0x48, 0x4C)), 0x0F, bytes((0x01, 0x17))),
    Stranger("INA226", _INA, 0xFF, bytes((0x22, 0x60))),
    Stranger("INA260", _INA, 0xFF, bytes((0x22, 0x70))),
    Stranger("INA3221", tuple(range(0x40, 0x44)), 0xFF, bytes((0x32, 0x20))),
    Stranger("HDC1080", (0x40,), 0xFF, bytes((0x10, 0x50))),
    Stranger("INA219, as it is after power-up", _INA, 0x00, bytes((0x39, 0x9F))),
    Stranger("MAX17048", (0x36,), 0x08, bytes((0x00, 0x10)), bytes((0xFF, 0xF0))),
    # no identity: the bits of clock, calendar, status and temperature that are always 0
    Stranger(
        "DS3231 clock, by all appearances",
        (0x68,),
        0x00,
        bytes(19),
        bytes.fromhex("80 80 80 f8 c0 60 00 00 00 00 00 00 00 00 00 70 00 00 3f"),
    ),
)


def stranger_at(place: Place) -> str:
    """Return the name of the stranger that answers at a place; empty where none of them does.

    Passes on what a place raises that may not be written to.
    """
    for stranger in STRANGERS:
        if place.address in stranger.addresses:
            try:
                if stranger.is_at(place):
                    return stranger.name
            except ChipError:
                continue
    return "SHT3x" if place.address in (0x44, 0x45) and _is_sht3x(place) else ""


def _is_sht3x(place: Place) -> bool:
    """Ask for its status (Sensirion, SHT3x-DIS data sheet, section 4.11): a word with its checksum."""
    try:
        place.write(0xF3, 0x2D)
        said = place.read(3)
    except ChipError:
        return False
    return len(set(said)) > 1 and crc8(said[:2]) == said[2]


def usual_at(address: int) -> str:
    """Return what sits at an address by custom, in words."""
    return f"usually {USUAL[address]}" if address in USUAL else "unknown"

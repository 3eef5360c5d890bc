"""From the configuration to sensors: buses, pins that serve once, one driver a chip.

A driver is imported when a sensor wants it: what is not connected takes no memory.
"""

import machine
from sensors.base import Sensor
from settings import Section, SettingFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told
    from sensors.registers import Bus, Registers

STANDARD_GRAVITY_MPS2 = 9.80665  # CGPM 1901
LARGEST_24 = 2**23 - 1
CHIPS = ("adxl345", "lis3dh", "hx711", "bme280", "sht4x", "analog", "switch")


class Pins:
    """Which pins a kind of board has."""

    def __init__(self, inputs: "set[int]", outputs: "set[int]", analog: "set[int]") -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.analog = analog


class Wiring:
    """What is connected; each board adds how it does what boards do differently."""

    def __init__(self, pins: Pins, faults: "list[Told]") -> None:
        self._pins = pins
        self._faults = faults
        self._taken: "dict[int, str]" = {}
        self._buses: "dict[str, Bus]" = {}
        self._speeds_hz: "dict[str, int]" = {}
        self._names: "set[str]" = set()

    # --- what a board does in its own way ---

    def i2c(self, number: int, sda: int, scl: int, speed_hz: int) -> "Bus":
        """Open an I2C bus."""
        return machine.I2C(number, sda=machine.Pin(sda), scl=machine.Pin(scl), freq=speed_hz)

    def spi(self, number: int, sck: int, mosi: int, miso: int, speed_hz: int) -> "Bus":
        """Open an SPI bus; both accelerometers want mode 3."""
        return machine.SPI(
            number,
            baudrate=speed_hz,
            polarity=1,
            phase=1,
            sck=machine.Pin(sck),
            mosi=machine.Pin(mosi),
            miso=machine.Pin(miso),
        )

    def analog(self, pin: int) -> "tuple[Any, float, int]":
        """Return what reads the converter, the volts of one count, and the largest count (of 15 bits)."""
        raise NotImplementedError

    def cells(
        self, place: str, streams: "list[dict[str, Any]]", clock: int, data: "list[int]", gain: int
    ) -> Sensor:
        """Return the driver of several HX711: read by the program, where a board has nothing better."""
        from sensors.hx711 import PulsedCells

        pins = tuple([machine.Pin(number, machine.Pin.IN) for number in data])
        clock_pin = machine.Pin(clock, machine.Pin.OUT, value=0)
        return PulsedCells(
            place, streams, self._faults, clock_pin, pins, gain, machine.disable_irq, machine.enable_irq
        )

    # --- pins and buses ---

    def pin(self, section: Section, key: str, among: "set[int]", default: "int | None" = None) -> int:
        """Return the pin that a key names; raise `SettingFault` where it cannot serve."""
        number = section.whole(key, 0, 999, default)
        return self._take(section, key, number, among)

    def output_pin(self, section: Section, key: str) -> int:
        """Return a pin that can be driven."""
        return self.pin(section, key, self._pins.outputs)

    def _take(self, section: Section, key: str, number: int, among: "set[int]") -> int:
        if number not in among:
            raise section.fault(key, "one of the pins " + _ranges(among))
        if number in self._taken:
            raise section.fault(key, "a free pin: " + self._taken[number] + " has this one")
        self._taken[number] = section.key(key)
        return number

    def add_bus(self, name: str, values: "Any") -> None:
        """Open the bus that an entry of "buses" describes; raise `SettingFault`."""
        section = Section("buses." + name, values)
        if name[:-1] not in ("i2c", "spi") or name[-1:] not in ("0", "1", "2"):
            raise SettingFault(section.name, "unknown", "i2c0, i2c1, spi0, spi1 or spi2")
        number = int(name[-1])
        pins = self._pins
        # opened by a sensor's first transfer only, so an empty bus is no error
        if name.startswith("i2c"):
            sda = self.pin(section, "sda", pins.outputs)
            scl = self.pin(section, "scl", pins.outputs)
            speed_hz = section.whole("speed_hz", 10_000, 1_000_000, 400_000)
        else:
            sck = self.pin(section, "sck", pins.outputs)
            mosi = self.pin(section, "mosi", pins.outputs)
            miso = self.pin(section, "miso", pins.inputs)
            speed_hz = section.whole("speed_hz", 100_000, 5_000_000, 5_000_000)
        section.finish()
        try:
            if name.startswith("i2c"):
                self._buses[name] = self.i2c(number, sda, scl, speed_hz)
            else:
                self._buses[name] = self.spi(number, sck, mosi, miso, speed_hz)
        except (ValueError, OSError) as error:
            raise SettingFault(section.name, said(error), "pins of this bus") from None
        self._speeds_hz[name] = speed_hz

    def _bus(self, section: Section, kinds: "tuple[str, ...]") -> str:
        name = section.text("bus")
        if name not in self._buses or name[:-1] not in kinds:
            among = sorted([b for b in self._buses if b[:-1] in kinds])
            raise section.fault("bus", "one of " + ", ".join(among) if among else "a bus under buses")
        return name

    def _registers(
        self, section: Section, kinds: "tuple[str, ...]", addresses: "tuple[int, ...]", burst_bit: int
    ) -> "tuple[str, Registers]":
        from sensors.registers import I2cRegisters, SpiRegisters

        name = self._bus(section, kinds)
        if name.startswith("i2c"):
            address = section.address(addresses)
            return f"{name} 0x{address:02X}", I2cRegisters(self._buses[name], address, burst_bit)
        number = self.output_pin(section, "select")
        select = machine.Pin(number, machine.Pin.OUT, value=1)
        return f"{name} select pin {number}", SpiRegisters(self._buses[name], select)

    # --- sensors ---

    def sensor(self, section: Section) -> Sensor:
        """Return the driver that an entry of "sensors" describes; raise `SettingFault`."""
        chip = section.choice("chip", CHIPS)
        before = dict(self._taken)
        names = set(self._names)
        try:
            sensor: Sensor = getattr(self, "_" + chip)(section)
            section.finish()
        except Exception as error:
            self._taken = before
            self._names = names
            if isinstance(error, SettingFault):
                raise
            # MicroPython knows of this very board what our table of pins does not
            raise SettingFault(section.name, said(error), "pins that can do this") from None
        return sensor

    def _stream(
        self,
        section: Section,
        key: str,
        default: str,
        axes: "list[str]",
        unit: str,
        scale: float,
        rate_hz: float,
        bits: int,
        full_scale: "float | None",
    ) -> "dict[str, Any]":
        name = section.text(key, default)
        if name in self._names:
            raise section.fault(key, "a name that no other stream has: not " + name)
        self._names.add(name)
        return {
            "name": name,
            "axes": axes,
            "unit": unit,
            "scale": scale,
            "rate_hz": rate_hz,
            "bits": bits,
            "full_scale": full_scale,
        }

    def _adxl345(self, section: Section) -> Sensor:
        from sensors import adxl345

        where, registers = self._registers(section, ("i2c", "spi"), (0x53, 0x1D), 0)
        rate_hz = section.choice("rate_hz", adxl345.RATE_CODES, 400)
        self._carries(section, section.text("bus"), rate_hz, adxl345.FASTEST_I2C_HZ, adxl345.SLOWEST_SPI_HZ)
        range_g = section.choice("range_g", adxl345.RANGE_CODES, 16)
        scale = adxl345.MPS2_PER_COUNT
        full_scale = (256 * range_g - 1) * scale
        axes = ["x", "y", "z"]
        stream = self._stream(section, "stream", "accel", axes, "mps2", scale, rate_hz, 16, full_scale)
        return adxl345.Adxl345("ADXL345 at " + where, [stream], self._faults, registers, range_g)

    def _carries(
        self, section: Section, bus: str, rate_hz: int, fastest_i2c_hz: "dict[int, int]", slowest_spi_hz: int
    ) -> None:
        """Raise `SettingFault` for a rate that the bus cannot carry."""
        speed_hz = self._speeds_hz[bus]
        if bus.startswith("spi"):
            if rate_hz > 800 and speed_hz < slowest_spi_hz:
                raise section.fault("rate_hz", f"at most 800: {bus} has {speed_hz} Hz, not {slowest_spi_hz}")
            return
        most = 0
        for least_hz in fastest_i2c_hz:
            if speed_hz >= least_hz:
                most = max(most, fastest_i2c_hz[least_hz])
        if rate_hz > most:
            raise section.fault("rate_hz", f"at most {most} on {bus} with {speed_hz} Hz; more needs SPI")

    def _lis3dh(self, section: Section) -> Sensor:
        from sensors import lis3dh

        where, registers = self._registers(section, ("i2c", "spi"), (0x18, 0x19), lis3dh.BURST)
        rate_hz = section.choice("rate_hz", lis3dh.RATE_CODES, 400)
        speed_hz = self._speeds_hz[section.text("bus")]
        if rate_hz * 90 > speed_hz:  # 54 bits of data a sample, and as much again for the rest at most
            raise section.fault("rate_hz", f"at most {speed_hz // 90} on a bus of {speed_hz} Hz")
        range_g = section.choice("range_g", lis3dh.RANGE_CODES, 16)
        scale = lis3dh.MG_PER_DIGIT[range_g] * STANDARD_GRAVITY_MPS2 / 16_000
        full_scale = 2047 * 16 * scale
        axes = ["x", "y", "z"]
        stream = self._stream(section, "stream", "accel", axes, "mps2", scale, rate_hz, 16, full_scale)
        return lis3dh.Lis3dh("LIS3DH at " + where, [stream], self._faults, registers, range_g)

    def _hx711(self, section: Section) -> Sensor:
        axes = section.value("axes", ["fl", "fr", "rl", "rr"])
        data = section.items("data")
        if not isinstance(axes, list) or not 1 <= len(data) <= 4:
            raise section.fault("data", "one to four pins")
        if len(axes) != len(data):
            raise section.fault("axes", f"a name for each of the {len(data)} cells")
        clock = self.output_pin(section, "clock")
        for i in range(len(data)):
            if type(data[i]) is not int:
                raise section.fault("data", "pin numbers")
            self._take(section, "data", data[i], self._pins.inputs)
        rate_hz = section.choice("rate_hz", (10, 80), 80)
        gain = section.choice("gain", (128, 64, 32), 128)
        capacity_kg = section.number("capacity_kg", 0.001, 1_000_000)
        sensitivity = section.number("mv_per_v", 0.1, 10, 2.0)
        # the input takes ± half of the bridge's supply divided by the gain: datasheet, table 2
        scale = capacity_kg / (sensitivity * 2 * gain / 1000 * LARGEST_24)
        stream = self._stream(section, "stream", "load", axes, "kg", scale, rate_hz, 24, LARGEST_24 * scale)
        return self.cells(f"HX711 at clock pin {clock}", [stream], clock, data, gain)

    def _climate_streams(self, section: Section) -> "list[dict[str, Any]]":
        from sensors.climate import PER_COUNT

        rate_hz = section.number("rate_hz", 0.02, 20, 1)
        return [
            self._stream(section, "temperature", "temperature", ["t"], "degC", PER_COUNT, rate_hz, 16, None),
            self._stream(section, "humidity", "humidity", ["h"], "percent", PER_COUNT, rate_hz, 16, None),
        ]

    def _bme280(self, section: Section) -> Sensor:
        from sensors import bme280

        where, registers = self._registers(section, ("i2c",), (0x76, 0x77), 0)
        streams = self._climate_streams(section)
        return bme280.Bme280("BME280 at " + where, streams, self._faults, registers)

    def _sht4x(self, section: Section) -> Sensor:
        from sensors import sht4x

        name = self._bus(section, ("i2c",))
        address = section.address((0x44, 0x45, 0x46))
        streams = self._climate_streams(section)
        place = f"SHT4x at {name} 0x{address:02X}"
        return sht4x.Sht4x(place, streams, self._faults, self._buses[name], address)

    def _analog(self, section: Section) -> Sensor:
        from sensors import analog

        number = self.pin(section, "pin", self._pins.analog)
        read, volts_per_count, largest = self.analog(number)
        # volts at the transducer: a divider brings its 4.5 V down to what the pin bears
        volts_per_count *= section.number("divider", 1, 100, 1)
        zero_v = section.number("zero_v", 0, 100, 0.5)
        pa_per_v = section.number("pa_per_v", 0.001, 1e9)
        rate_hz = section.whole("rate_hz", 1, 200, 50)
        zero_count = round(zero_v / volts_per_count)
        scale = pa_per_v * volts_per_count
        full_scale = (largest - zero_count) * scale
        stream = self._stream(section, "stream", "pressure", ["p"], "Pa", scale, rate_hz, 16, full_scale)
        # live zero: half of it is never there while the transducer has power
        least = zero_count // 2
        return analog.Analog(f"transducer at pin {number}", [stream], self._faults, read, zero_count, least)

    def _switch(self, section: Section) -> Sensor:
        from sensors import switch

        number = self.pin(section, "pin", self._pins.inputs)
        pull = section.choice("pull", ("up", "down", "none"), "up")
        pulls: "dict[str, Any]" = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN, "none": None}
        closed = section.choice("closed_level", (0, 1), 0)
        debounce_ms = section.whole("debounce_ms", 0, 10_000, 20)
        rate_hz = section.whole("rate_hz", 1, 100, 10)
        stream = self._stream(section, "stream", "lid", ["closed"], "state", 1, rate_hz, 8, None)
        pin = machine.Pin(number, machine.Pin.IN, pulls[pull])
        return switch.Switch(f"contact at pin {number}", [stream], self._faults, pin, closed, debounce_ms)


def said(error: Exception) -> str:
    """Return what MicroPython said, with the kind of error: by itself it may be no more than a number."""
    return type(error).__name__ + " " + str(error)


def _ranges(numbers: "set[int]") -> str:
    """Return numbers as people write them: 0-22, 26-28."""
    parts = []
    last = first = -2
    for number in sorted(numbers) + [1000]:  # noqa: RUF005 - MicroPython has no stars in a list
        if number == last + 1:
            last = number
            continue
        if first >= 0:
            parts.append(str(first) if first == last else f"{first}-{last}")
        first = last = number
    return ", ".join(parts)

"""Which serial ports there are, what each probably is, and under which name a board came back.

From pyserial, which reads /sys/class/tty, and from the links that udev makes under /dev/serial/by-id. USB
ids: Raspberry Pi's list (github.com/raspberrypi/usb-pid) and MicroPython's ports (mpconfigport.h: esp32
303A:4001, rp2 2E8A:0005); the bridges' and the others' are those of the Linux drivers cp210x, ch341,
cdc-acm, ftdi_sio and pl2303, and of usb.ids.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports as pyserial_ports
from serial.tools.list_ports_common import ListPortInfo

BY_ID = Path("/dev/serial/by-id")
USB_DEVICES = Path("/sys/bus/usb/devices")

RP2 = "rp2"
ESP32 = "esp32"
MICROBIT = "microbit"

RASPBERRY_PI = "2E8A"
ESPRESSIF = "303A"
TRIES = 3  # a device that is pulled out while pyserial reads its files makes it trip


@dataclass(frozen=True, slots=True)
class UsbKind:
    """What a USB id tells: words, the platform (as ``sys.platform`` of MicroPython) and how surely a board.

    `likely`: 2 a microcontroller's own USB, 1 a bridge that may have one behind it, 0 something else.
    """

    words: str
    platform: str = ""
    likely: int = 0


# the whole id first, then the vendor alone
KINDS: dict[str, UsbKind] = {
    "2E8A:0005": UsbKind("RP2040/Pico with MicroPython", RP2, 2),
    "2E8A:0009": UsbKind("RP2350/Pico 2 with a C program", RP2, 2),
    "2E8A:000A": UsbKind("RP2040/Pico with a C program", RP2, 2),
    "2E8A:000B": UsbKind("RP2040/Pico with CircuitPython", RP2, 2),
    "2E8A:0004": UsbKind("Picoprobe, a debugging probe"),
    "2E8A:000C": UsbKind("Raspberry Pi Debug Probe"),
    "303A:1001": UsbKind("ESP32 on its own USB (serial/JTAG)", ESP32, 2),
    "303A:4001": UsbKind("ESP32-S2/S3 with MicroPython", ESP32, 2),
    "303A:0002": UsbKind("ESP32-S2/S3 in its boot loader", ESP32, 2),
    "10C4:EA60": UsbKind("probably an ESP32 behind a CP2102", ESP32, 1),
    "10C4:EA70": UsbKind("probably an ESP32 behind a CP2105", ESP32, 1),
    "1A86:7523": UsbKind("probably an ESP32 behind a CH340", ESP32, 1),
    "1A86:5523": UsbKind("probably an ESP32 behind a CH341", ESP32, 1),
    "1A86:55D3": UsbKind("probably an ESP32 behind a CH343", ESP32, 1),
    "1A86:55D4": UsbKind("probably an ESP32 behind a CH9102", ESP32, 1),
    "0403:6001": UsbKind("a board or a cable with an FT232", "", 1),
    "0403:6010": UsbKind("a board or a cable with an FT2232", "", 1),
    "0403:6014": UsbKind("a board or a cable with an FT232H", "", 1),
    "0403:6015": UsbKind("a board or a cable with an FT231X", "", 1),
    "067B:2303": UsbKind("a cable with a PL2303", "", 1),
    "0D28:0204": UsbKind("micro:bit, or another board behind DAPLink", MICROBIT, 1),
    "F055:9800": UsbKind("pyboard with MicroPython", "pyboard", 1),
    RASPBERRY_PI: UsbKind("RP2040/RP2350 board", RP2, 2),
    ESPRESSIF: UsbKind("ESP32 on its own USB", ESP32, 2),
    "2341": UsbKind("Arduino"),
    "2A03": UsbKind("Arduino"),
    "1546": UsbKind("u-blox GNSS receiver"),
    "1E0E": UsbKind("cellular modem (SIMCom)"),
    "2C7C": UsbKind("cellular modem (Quectel)"),
    "12D1": UsbKind("cellular modem (Huawei)"),
    "1199": UsbKind("cellular modem (Sierra Wireless)"),
}
BOOTSEL = {"2E8A:0003": "RP2040 in BOOTSEL mode", "2E8A:000F": "RP2350 in BOOTSEL mode"}


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A serial port, and what is probably behind it."""

    device: str
    usb_id: str | None
    """Vendor and product like ``2E8A:0005``; None where the port is none of USB."""
    serial_number: str | None
    by_id: str | None
    """The link that udev keeps for it, whatever the device is called this time."""
    location: str | None
    """The USB socket, and the interface where there are several: ``1-1.2:1.0``."""
    product: str
    kind: str
    platform: str
    """``rp2``, ``esp32``, ``microbit``; empty where nothing tells."""
    likely: int
    """2: a microcontroller's own USB, 1: a bridge that may have one behind it, 0: neither."""

    @property
    def name(self) -> str:
        """The name for a configuration: the one that stays, where there is one."""
        return self.by_id or self.device


@dataclass(frozen=True, slots=True)
class BootselBoard:
    """An RP2040 that waits for a UF2 file: a USB drive, and no serial port."""

    usb_id: str
    kind: str
    location: str
    drive: str | None
    """Its block device, like ``/dev/sda``; None while the kernel has not made one."""


def list_ports() -> tuple[SerialPort, ...]:
    """Return the serial ports of this computer, by name."""
    links = _links()
    return tuple(_port(info, links) for info in sorted(_comports()))


def likely_boards() -> tuple[SerialPort, ...]:
    """Return the ports that may have a microcontroller behind them, the likeliest first."""
    return tuple(sorted((p for p in list_ports() if p.likely), key=lambda p: -p.likely))


def describe_ports() -> str:
    """Return the ports that are there for the list in an error: ``/dev/ttyACM0 (…), …`` or ``none``."""
    words = [f"{port.device} ({port.kind})" for port in list_ports()]
    listed = ", ".join(words) or "none"
    for board in bootsel_boards():
        listed += f"; and an {board.kind}, which is no port"
    return listed


def identity(name: str) -> SerialPort | None:
    """Return what can be known again of the port `name`, which may be a link.

    None where it is not there, or is no port that the system lists, such as a pty.
    """
    device = os.path.realpath(name)
    return next((port for port in list_ports() if port.device == device), None)


def find_again(known: SerialPort) -> str | None:
    """Return the device under which the board that `known` was is there now; None while it is not.

    By the link under /dev/serial/by-id, then by USB id and serial number. A board without a serial number
    (many CH340) is found in the same USB socket, or as the only one of its kind.
    """
    ports = list_ports()
    if known.usb_id is None:
        return next((p.device for p in ports if p.device == known.device), None)
    same = [p for p in ports if (p.usb_id, p.serial_number) == (known.usb_id, known.serial_number)]
    # several: a board with several interfaces, or boards that cannot be told apart
    at_link = [p for p in same if known.by_id is not None and p.by_id == known.by_id]
    if known.serial_number is not None and at_link:
        return at_link[0].device
    if known.serial_number is not None:
        place = _interface(known.location)
        same = [p for p in same if _interface(p.location) == place] or same
        return same[0].device if same else None
    at_socket = [p for p in same if p.location == known.location]
    if at_socket:
        return at_socket[0].device
    return same[0].device if len(same) == 1 else None


def bootsel_boards(devices: Path | None = None) -> tuple[BootselBoard, ...]:
    """Return the boards in BOOTSEL mode; `devices` is the folder that sysfs has for USB."""
    folder = USB_DEVICES if devices is None else devices
    found = []
    for device in sorted(folder.glob("*")):
        usb_id = f"{_line(device / 'idVendor')}:{_line(device / 'idProduct')}".upper()
        if usb_id in BOOTSEL:
            # DEVICE/INTERFACE/hostN/targetN:0:0/N:0:0:0/block/sda
            drives = sorted(device.glob("*:*/host*/target*/*/block/*"))
            drive = f"/dev/{drives[0].name}" if drives else None
            found.append(BootselBoard(usb_id, BOOTSEL[usb_id], device.name, drive))
    return tuple(found)


def _comports() -> list[ListPortInfo]:
    for _ in range(TRIES):
        try:
            return list(pyserial_ports.comports())
        except (OSError, TypeError, ValueError):
            continue
    return []


def _links() -> dict[str, str]:
    """Return device → its link under /dev/serial/by-id."""
    links = sorted(str(link) for link in BY_ID.glob("*"))
    return {os.path.realpath(link): link for link in reversed(links)}


def _port(info: ListPortInfo, links: dict[str, str]) -> SerialPort:
    vendor = f"{info.vid:04X}" if info.vid is not None else ""
    usb_id = f"{vendor}:{info.pid:04X}" if vendor and info.pid is not None else None
    product = info.product or ""
    known = KINDS.get(usb_id or "") or KINDS.get(vendor)
    if "MicroPython" in product and (known is None or not known.platform):
        known = UsbKind("a board with MicroPython", "", 2)
    if known is None:
        words = product or "an unknown USB device" if usb_id else "a port of this computer itself"
        known = UsbKind(words)
    return SerialPort(
        device=info.device,
        usb_id=usb_id,
        serial_number=info.serial_number or None,
        by_id=links.get(os.path.realpath(info.device)),
        location=info.location,
        product=product,
        kind=known.words,
        platform=known.platform,
        likely=known.likely,
    )


def _interface(location: str | None) -> str:
    """Return which interface of the board it is: ``1.0`` of ``1-1.2:1.0``."""
    return (location or "").partition(":")[2]


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""

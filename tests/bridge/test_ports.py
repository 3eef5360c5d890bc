"""What is plugged in, told by its USB id; and a board found again under another name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from serial.tools import list_ports as pyserial_ports
from serial.tools.list_ports_common import ListPortInfo

from firmware_bridge import ports
from firmware_bridge.ports import (
    BootselBoard,
    bootsel_boards,
    describe_ports,
    find_again,
    identity,
    likely_boards,
    list_ports,
)
from tests.bridge.cable import cable

PICO = (0x2E8A, 0x0005)
CP2102 = (0x10C4, 0xEA60)
CH340 = (0x1A86, 0x7523)


@dataclass
class Sockets:
    """The USB sockets of a computer, as pyserial and udev would tell of them."""

    folder: Path
    infos: list[ListPortInfo] = field(default_factory=list)

    def plug(
        self,
        name: str,
        usb: tuple[int, int] | None = None,
        *,
        serial: str | None = None,
        socket: str = "1-1",
        product: str | None = None,
        interface: str = "if00",
    ) -> str:
        device = self.folder / name
        device.touch()
        info = ListPortInfo(str(device))
        if usb is not None:
            info.vid, info.pid = usb
            info.serial_number, info.product = serial, product
            info.location = f"{socket}:1.{int(interface[2:])}"
            links = self.folder / "by-id"
            links.mkdir(exist_ok=True)
            link = links / f"usb-{usb[0]:04x}_{usb[1]:04x}_{serial or ''}-{interface}"
            link.unlink(missing_ok=True)
            link.symlink_to(device)
        self.infos.append(info)
        return str(device)

    def unplug_all(self) -> None:
        self.infos.clear()
        for link in (self.folder / "by-id").glob("*"):
            link.unlink()


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sockets]:
    made = Sockets(tmp_path)
    monkeypatch.setattr(pyserial_ports, "comports", lambda: list(made.infos))
    monkeypatch.setattr(ports, "BY_ID", tmp_path / "by-id")
    monkeypatch.setattr(ports, "USB_DEVICES", tmp_path / "usb")
    yield made


@pytest.mark.parametrize(
    "usb, product, words, platform, likely",
    [
        (PICO, "Board in FS mode", "RP2040/Pico with MicroPython", "rp2", 2),
        ((0x2E8A, 0x1016), None, "RP2040/RP2350 board", "rp2", 2),
        ((0x2E8A, 0x000C), None, "Raspberry Pi Debug Probe", "", 0),
        ((0x303A, 0x4001), None, "ESP32-S2/S3 with MicroPython", "esp32", 2),
        (CP2102, "CP2102 USB to UART", "probably an ESP32 behind a CP2102", "esp32", 1),
        ((0x0D28, 0x0204), None, "micro:bit, or another board behind DAPLink", "microbit", 1),
        ((0x239A, 0x80F8), "MicroPython QT Py", "a board with MicroPython", "", 2),
        ((0x1546, 0x01A8), "u-blox 8", "u-blox GNSS receiver", "", 0),
        ((0x1234, 0x5678), "Weighbridge", "Weighbridge", "", 0),
        ((0x1234, 0x5678), None, "an unknown USB device", "", 0),
        (None, None, "a port of this computer itself", "", 0),
    ],
)
def test_what_a_port_probably_is(
    sockets: Sockets,
    usb: tuple[int, int] | None,
    product: str | None,
    words: str,
    platform: str,
    likely: int,
) -> None:
    device = sockets.plug("ttyACM0", usb, serial="e661", product=product)
    (port,) = list_ports()
    assert (port.device, port.kind, port.platform, port.likely) == (device, words, platform, likely)
    assert port.usb_id == (None if usb is None else f"{usb[0]:04X}:{usb[1]:04X}")
    if usb is not None:
        assert port.by_id is not None and os.path.realpath(port.by_id) == device
        assert port.name == port.by_id


def test_boards_come_likeliest_first_and_others_not_at_all(sockets: Sockets) -> None:
    sockets.plug("ttyUSB0", CP2102, serial="0001")
    sockets.plug("ttyUSB1", (0x2C7C, 0x0125), serial="modem")
    sockets.plug("ttyACM0", PICO, serial="e661")
    assert [Path(p.device).name for p in likely_boards()] == ["ttyACM0", "ttyUSB0"]
    assert [Path(p.device).name for p in list_ports()] == ["ttyACM0", "ttyUSB0", "ttyUSB1"]


def test_the_list_in_an_error(sockets: Sockets, tmp_path: Path) -> None:
    assert describe_ports() == "none"
    device = sockets.plug("ttyACM0", PICO, serial="e661")
    assert describe_ports() == f"{device} (RP2040/Pico with MicroPython)"
    usb_device(tmp_path / "usb", "1-1.3", "2e8a", "0003")
    assert describe_ports().endswith("; and an RP2040 in BOOTSEL mode, which is no port")


def test_a_board_comes_back_under_another_name(sockets: Sockets) -> None:
    old = sockets.plug("ttyACM0", PICO, serial="e661")
    sockets.plug("ttyACM1", PICO, serial="e662", socket="1-2")
    known = identity(old)
    assert known is not None and find_again(known) == old
    sockets.unplug_all()
    assert find_again(known) is None
    sockets.plug("ttyACM0", PICO, serial="e662", socket="1-2")
    assert find_again(known) is None, "the other board now has its name"
    new = sockets.plug("ttyACM3", PICO, serial="e661", socket="2-4")
    assert find_again(known) == new


def test_a_link_is_followed(sockets: Sockets, tmp_path: Path) -> None:
    device = sockets.plug("ttyACM0", PICO, serial="e661")
    (tmp_path / "the-box").symlink_to(device)
    known = identity(str(tmp_path / "the-box"))
    assert known is not None and known.device == device
    assert known.by_id is not None and identity(known.by_id) == known


def test_a_board_of_two_ports_comes_back_on_the_same_one(sockets: Sockets) -> None:
    sockets.plug("ttyACM0", PICO, serial="e661", interface="if00")
    second = identity(sockets.plug("ttyACM1", PICO, serial="e661", interface="if02"))
    assert second is not None
    sockets.unplug_all()
    sockets.plug("ttyACM4", PICO, serial="e661", interface="if00", socket="2-4")
    new = sockets.plug("ttyACM5", PICO, serial="e661", interface="if02", socket="2-4")
    assert find_again(second) == new
    for link in (sockets.folder / "by-id").glob("*"):
        link.unlink()  # a system without udev
    assert find_again(second) == new


def test_a_board_without_a_serial_number(sockets: Sockets) -> None:
    known = identity(sockets.plug("ttyUSB0", CH340, socket="1-1.2"))
    assert known is not None and known.serial_number is None
    sockets.unplug_all()
    only = sockets.plug("ttyUSB1", CH340, socket="1-1.4")
    assert find_again(known) == only, "the only one of its kind"
    sockets.plug("ttyUSB2", CH340, socket="1-1.5")
    assert find_again(known) is None, "two that cannot be told apart, neither in its socket"
    back = sockets.plug("ttyUSB3", CH340, socket="1-1.2")
    assert find_again(known) == back


def test_a_port_that_is_none_of_usb(sockets: Sockets) -> None:
    known = identity(sockets.plug("ttyAMA0"))
    assert known is not None and known.usb_id is None and find_again(known) == known.device
    sockets.unplug_all()
    sockets.plug("ttyS0")
    assert find_again(known) is None


def test_what_is_no_listed_port_has_no_identity(tmp_path: Path) -> None:
    with cable(tmp_path / "port"):
        assert identity(str(tmp_path / "port")) is None
    assert identity(str(tmp_path / "port")) is None


def test_a_device_pulled_out_while_it_is_looked_at(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets.plug("ttyACM0", PICO, serial="e661")
    looks = 0

    def trip() -> list[ListPortInfo]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise TypeError("int() can't convert non-string with explicit base")
        return sockets.infos

    monkeypatch.setattr(pyserial_ports, "comports", trip)
    assert len(list_ports()) == 1


def usb_device(folder: Path, name: str, vendor: str, product: str, drive: str = "") -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "idVendor").write_text(f"{vendor}\n")
    (folder / name / "idProduct").write_text(f"{product}\n")
    if drive:
        (folder / name / f"{name}:1.0/host0/target0:0:0/0:0:0:0/block" / drive).mkdir(parents=True)


def test_boards_in_bootsel_mode(tmp_path: Path) -> None:
    assert bootsel_boards(tmp_path / "usb") == ()
    usb_device(tmp_path / "usb", "1-1.1", "2e8a", "0005")
    usb_device(tmp_path / "usb", "1-1.2", "2e8a", "0003", drive="sda")
    usb_device(tmp_path / "usb", "1-1.3", "2e8a", "000f")
    (tmp_path / "usb" / "1-1:1.0").mkdir()  # an interface has no ids
    assert bootsel_boards(tmp_path / "usb") == (
        BootselBoard("2E8A:0003", "RP2040 in BOOTSEL mode", "1-1.2", "/dev/sda"),
        BootselBoard("2E8A:000F", "RP2350 in BOOTSEL mode", "1-1.3", None),
    )

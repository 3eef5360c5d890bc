"""MicroPython itself onto a board: a UF2 file on an RP2040's drive, or esptool for an ESP32.

UF2: github.com/microsoft/uf2, blocks of 512 bytes with three magic numbers and a family id. ESP32 images:
docs.espressif.com, esptool, firmware image format: the byte 0xE9 first, the chip's number at 12.
esptool is a program of its own licence (GPL): it is run, never imported.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge import ports
from firmware_bridge.errors import FourPartError
from firmware_bridge.flashing.errors import FlashError, RefusedError

UF2_BLOCK_BYTES = 512
UF2_MAGIC = (0x0A324655, 0x9E5D5157)
UF2_MAGIC_END = 0x0AB16F30
UF2_HAS_FAMILY = 0x2000
# github.com/microsoft/uf2, utils/uf2families.json
UF2_FAMILIES = {0xE48BFF56: "RP2040", 0xE48BFF59: "RP2350", 0xE48BFF57: "RP2350 (absolute)"}
UF2_RP2040 = 0xE48BFF56
UF2_INFO = "INFO_UF2.TXT"
RP2040_BOARD = "RPI-RP2"

ESP_MAGIC = 0xE9
ESP_CHIP_AT = 12
# chip number → its name to esptool, where its boot loader lies
ESP_CHIPS = {
    0: ("esp32", 0x1000),
    2: ("esp32s2", 0x1000),
    5: ("esp32c3", 0x0),
    9: ("esp32s3", 0x0),
    12: ("esp32c2", 0x0),
    13: ("esp32c6", 0x0),
    16: ("esp32h2", 0x0),
}
ESPTOOL_TIMEOUT_S = 600.0
ESPTOOL_RENAMED = 5
DRIVE_S = 15.0
COPY_BYTES = 64 * 1024
LOOK_S = 0.1

Progress = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A file that holds MicroPython for one kind of chip."""

    path: Path
    chip: str
    offset: int | None
    """Where esptool is to write it; None for a UF2 file."""


def read_image(path: Path) -> BaseImage:
    """Look into the file; raise `RefusedError` where it is no image for a board that we know."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _no_image(path, f"it cannot be read ({error.strerror})") from error
    if len(data) >= UF2_BLOCK_BYTES and struct.unpack_from("<II", data) == UF2_MAGIC:
        return BaseImage(path, _uf2_chip(path, data), None)
    if len(data) > ESP_CHIP_AT + 1 and data[0] == ESP_MAGIC:
        number = struct.unpack_from("<H", data, ESP_CHIP_AT)[0]
        if number not in ESP_CHIPS:
            raise _no_image(path, f"an image for Espressif's chip number {number}")
        chip, offset = ESP_CHIPS[number]
        return BaseImage(path, chip, offset)
    raise _no_image(path, f"{len(data)} bytes that begin with {data[:8]!r}")


def _uf2_chip(path: Path, data: bytes) -> str:
    """Return the chip that every block of a UF2 file is for."""
    if len(data) % UF2_BLOCK_BYTES:
        raise _no_image(path, f"a UF2 file cut short: {len(data)} bytes, no multiple of {UF2_BLOCK_BYTES}")
    total = struct.unpack_from("<I", data, 24)[0]
    if total != len(data) // UF2_BLOCK_BYTES:
        raise _no_image(path, f"a UF2 file of {len(data) // UF2_BLOCK_BYTES} blocks that says {total}")
    for number in range(total):
        begin = number * UF2_BLOCK_BYTES
        magic = struct.unpack_from("<II", data, begin)
        flags, _, _, which, _, family = struct.unpack_from("<IIIIII", data, begin + 8)
        end = struct.unpack_from("<I", data, begin + UF2_BLOCK_BYTES - 4)[0]
        if magic != UF2_MAGIC or end != UF2_MAGIC_END or which != number:
            raise _no_image(path, f"a UF2 file whose block {number} is damaged")
        if not flags & UF2_HAS_FAMILY or family != UF2_RP2040:
            name = UF2_FAMILIES.get(family, f"0x{family:08X}") if flags & UF2_HAS_FAMILY else "none"
            raise _no_image(path, f"a UF2 file for the family {name}")
    return "RP2040"


def _no_image(path: Path, got: str) -> RefusedError:
    return RefusedError(
        f"base image {path}",
        got=got,
        expected="MicroPython for a board that we know: a .uf2 for RP2040, or a .bin for ESP32",
        remedy="Take the file for exactly this board from MicroPython's download page, and fetch it anew.",
    )


# --- RP2040 ---


def copy_uf2(image: BaseImage, progress: Progress, mounts: Path = Path("/proc/mounts")) -> None:
    """Copy the file to the drive of a board in BOOTSEL mode; it boots by itself then."""
    drive = find_drive(mounts)
    data = image.path.read_bytes()
    target = drive / image.path.name
    try:
        with target.open("wb") as out:
            for begin in range(0, len(data), COPY_BYTES):
                out.write(data[begin : begin + COPY_BYTES])
                out.flush()
                os.fsync(out.fileno())
                progress(min(1.0, (begin + COPY_BYTES) / len(data)))
    except OSError as error:
        # the board reboots at the last block and takes the drive along, often before fsync returns
        if drive.joinpath(UF2_INFO).exists():
            raise FlashError(
                f"copying {image.path.name} to {drive}",
                got=error.strerror or str(error),
                expected="a drive that takes it",
                remedy="Press BOOTSEL while plugging the board in, and give the same command again.",
            ) from error


def find_drive(mounts: Path = Path("/proc/mounts"), timeout_s: float = DRIVE_S) -> Path:
    """Return where the drive of an RP2040 in BOOTSEL mode is mounted; wait for it a while."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            # proc(5): blanks in a mount point are written \040
            folder = Path(line.split()[1].encode().decode("unicode_escape"))
            try:
                info = (folder / UF2_INFO).read_text(encoding="ascii", errors="replace")
            except OSError:
                continue
            if f"Board-ID: {RP2040_BOARD}" in info:
                return folder
        if time.monotonic() > deadline_s:
            raise _no_drive()
        time.sleep(LOOK_S)


def _no_drive() -> FlashError:
    waiting = [board for board in ports.bootsel_boards() if board.drive]
    if waiting:
        return FlashError(
            "looking for the board's drive",
            got=f"an {waiting[0].kind} on {waiting[0].drive}, which is not mounted",
            expected=f"a drive with {UF2_INFO} on it",
            remedy=f"`udisksctl mount -b {waiting[0].drive}1`, or with sudo mount it anywhere; "
            "then give the same command again.",
        )
    return FlashError(
        "looking for the board's drive",
        got=f"no {RP2040_BOARD}",
        expected=f"a drive with {UF2_INFO} on it",
        remedy="Hold BOOTSEL while you plug the board in, then give the same command again.",
    )


# --- ESP32 ---


def run_esptool(image: BaseImage, port: str, say: Callable[[str], object], progress: Progress) -> None:
    """Let esptool write the image to the board on `port`."""
    tool = esptool_command()
    command = [
        *tool,
        "--port",
        port,
        "--chip",
        image.chip,
        _write_flash(tool),
        f"0x{image.offset or 0:x}",
        str(image.path),
    ]
    say(f"running {' '.join(command[:1])} for {image.chip}")
    lines: list[str] = []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            lines = [*lines[-20:], line.strip()]
            # "Writing at 0x00010000... (12 %)", and since esptool 5 "... 12.3% 4096/..."
            for word in line.replace("(", " ").replace("%", " % ").split(" % ")[:1]:
                _show(word.split()[-1:] if "riting at" in line else [], progress)
        status = process.wait(ESPTOOL_TIMEOUT_S)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stdout.close()
    if status:
        # it ends with a link to its manual
        told = [line for line in lines if line]
        said = ([line for line in told if "error" in line.lower()] or told or ["nothing"])[-1]
        raise FlashError(
            f"esptool, writing {image.path.name} to {port}",
            got=f"status {status}: {said}",
            expected="status 0",
            remedy="Hold BOOT, press RESET, let BOOT go, and give the same command again.",
        )


def _write_flash(tool: list[str]) -> str:
    """Return what the command is called: esptool 5 renamed it, and Debian 12 has 4."""
    told = subprocess.run([*tool, "version"], capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r"v?(\d+)\.\d", told)
    return "write_flash" if found and int(found[1]) < ESPTOOL_RENAMED else "write-flash"


def _show(words: list[str], progress: Progress) -> None:
    try:
        progress(min(1.0, float(words[0]) / 100))
    except (IndexError, ValueError):
        return


def esptool_command() -> list[str]:
    """Return how esptool is started here; raise where there is none."""
    for name in ("esptool", "esptool.py"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("esptool") is not None:
        return [sys.executable, "-m", "esptool"]
    raise FlashError(
        "looking for esptool",
        got="no such program",
        expected="esptool, which writes MicroPython to an ESP32",
        remedy="`sudo apt-get install esptool`, then give the same command again.",
    )


def put(image: BaseImage, port: str | None, say: Callable[[str], object], progress: Progress) -> None:
    """Put the image on the board; `port` may be None for an RP2040, which has none in BOOTSEL mode."""
    if image.offset is None:
        say(f"copying {image.path.name} to the board's drive")
        copy_uf2(image, progress)
        return
    if port is None:
        raise FourPartError(
            "putting MicroPython on an ESP32",
            got="no port",
            expected="the port that the board is on",
            remedy="Name it with --port; `cargobox flash --list` shows them.",
        )
    run_esptool(image, port, say, progress)

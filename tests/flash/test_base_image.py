"""MicroPython itself onto a board: the drive of an RP2040, and esptool as a program."""

from __future__ import annotations

import importlib.util
import os
import pty
import shutil
import struct
import tty
from pathlib import Path

import pytest

from firmware_bridge.flashing import base_image
from firmware_bridge.flashing.errors import FlashError, RefusedError

RP2350 = 0xE48BFF59


def uf2(path: Path, blocks: int = 3, family: int = base_image.UF2_RP2040) -> Path:
    """Write a UF2 file of zeros."""
    data = b""
    for number in range(blocks):
        head = struct.pack(
            "<IIIIIIII", *base_image.UF2_MAGIC, 0x2000, 0x10000000 + 256 * number, 256, number, blocks, family
        )
        data += head + bytes(476) + struct.pack("<I", base_image.UF2_MAGIC_END)
    path.write_bytes(data)
    return path


def drive(folder: Path, board: str = "RPI-RP2") -> Path:
    """Make a folder look like the drive of a board in BOOTSEL mode; return the list of mounts."""
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(
        f"UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {board}\r\n"
    )
    mounts = folder.with_suffix(".mounts")
    quoted = str(folder).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 {quoted} vfat rw 0 0\n")
    return mounts


def esp_image(path: Path, chip: int) -> Path:
    path.write_bytes(bytes([0xE9, 3, 2, 0x20]) + bytes(8) + struct.pack("<H", chip) + bytes(1000))
    return path


def test_a_uf2_is_copied_to_the_boards_drive(tmp_path: Path) -> None:
    mounts = drive(tmp_path / "RPI RP2")
    image = base_image.read_image(uf2(tmp_path / "mp.uf2"))
    parts: list[float] = []
    base_image.copy_uf2(image, parts.append, mounts)
    assert (tmp_path / "RPI RP2" / "mp.uf2").read_bytes() == image.path.read_bytes()
    assert parts[-1] == 1.0


def test_another_drive_is_not_written(tmp_path: Path) -> None:
    mounts = drive(tmp_path / "OTHER", "SAMD51")
    with pytest.raises(FlashError, match=r"no RPI-RP2"):
        base_image.find_drive(mounts, timeout_s=0.0)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d[:-1], "cut short"),
        (lambda d: d[:512], "that says 3"),
        (lambda d: d[:512] + b"x" + d[513:], "block 1 is damaged"),
        (lambda d: b"", "0 bytes"),
        (lambda d: b"<html>" + bytes(600), "begin with b'<html>"),
    ],
)
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, spoil: object, words: str) -> None:
    path = uf2(tmp_path / "mp.uf2")
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(RefusedError) as refused:
        base_image.read_image(path)
    assert words in refused.value.got, refused.value


def test_an_image_for_another_chip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="for the family RP2350"):
        base_image.read_image(uf2(tmp_path / "mp.uf2", family=RP2350))
    with pytest.raises(RefusedError, match="chip number 77"):
        base_image.read_image(esp_image(tmp_path / "mp.bin", 77))
    with pytest.raises(RefusedError, match="cannot be read"):
        base_image.read_image(tmp_path / "none.bin")


@pytest.mark.parametrize(
    ("chip", "name", "offset"), [(0, "esp32", 0x1000), (9, "esp32s3", 0), (5, "esp32c3", 0)]
)
def test_an_esp32_image_says_what_it_is_for(tmp_path: Path, chip: int, name: str, offset: int) -> None:
    image = base_image.read_image(esp_image(tmp_path / "mp.bin", chip))
    assert (image.chip, image.offset) == (name, offset)


def test_esptool_is_run_as_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "esptool"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && exec cat {tmp_path}/version\necho "$@" > {tmp_path}/said\n'
        'echo "Writing at 0x00010000... (50 %)"\necho "Writing at 0x00020000 [==>  ]  75.0% 1/2 bytes..."\n'
        'exit $(cat "$(dirname "$0")/status")\n'
    )
    tool.chmod(0o755)
    (tool.parent / "status").write_text("0")
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    image = base_image.read_image(esp_image(tmp_path / "mp.bin", 0))
    parts: list[float] = []
    for version, verb in [("esptool.py v4.3\n4.3\n", "write_flash"), ("esptool v5.1.0\n", "write-flash")]:
        (tmp_path / "version").write_text(version)
        parts.clear()
        base_image.run_esptool(image, "/dev/ttyUSB7", lambda _: None, parts.append)
        said = (tmp_path / "said").read_text().split()
        assert said == ["--port", "/dev/ttyUSB7", "--chip", "esp32", verb, "0x1000", str(image.path)]
        assert parts == [0.5, 0.75], parts
    (tool.parent / "status").write_text("2")
    with pytest.raises(FlashError, match="status 2: Writing at") as failed:
        base_image.run_esptool(image, "/dev/ttyUSB7", lambda _: None, parts.append)
    assert "Hold BOOT" in failed.value.remedy


def test_without_esptool_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FlashError, match="no such program") as missing:
        base_image.esptool_command()
    assert "apt-get install esptool" in missing.value.remedy


@pytest.mark.skipif(shutil.which("esptool") is None, reason="no esptool here; it is GPL, and only ever run")
def test_the_real_esptool_against_a_silent_port(tmp_path: Path) -> None:
    near, far = pty.openpty()
    tty.setraw(far)
    try:
        image = base_image.read_image(esp_image(tmp_path / "mp.bin", 0))
        with pytest.raises(FlashError, match="status"):
            base_image.run_esptool(image, os.ttyname(far), lambda _: None, lambda _: None)
    finally:
        os.close(near)
        os.close(far)

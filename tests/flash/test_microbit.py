"""A micro:bit in QEMU: a real, older, smaller MicroPython, which cannot be a cargo box."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.flashing.errors import RefusedError
from firmware_bridge.flashing.finding import Place
from firmware_bridge.flashing.flasher import Flasher, Wishes
from firmware_bridge.flashing.greeting import greet
from firmware_bridge.flashing.repl import Repl, sha256

IMAGE = Path("/usr/share/firmware-microbit-micropython/firmware.hex")
QEMU = "qemu-system-arm"

pytestmark = [
    pytest.mark.board,
    pytest.mark.skipif(
        shutil.which(QEMU) is None or not IMAGE.exists(),
        reason="no micro:bit: apt-get install qemu-system-arm firmware-microbit-micropython",
    ),
]


@pytest.fixture
def microbit() -> Iterator[str]:
    """The port of one."""
    machine = ["-M", "microbit", "-nographic", "-monitor", "none", "-serial", "pty"]
    process = subprocess.Popen(
        [QEMU, *machine, "-device", f"loader,file={IMAGE}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        found = re.search(r"/dev/pts/\d+", said)
        assert found, said
        yield found[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_is_refused_in_words_and_left_as_it_was(microbit: str) -> None:
    for force in (False, True):
        with pytest.raises(RefusedError, match="a board of the kind 'microbit'") as refused:
            Flasher(Place(microbit), Wishes(force)).flash()
        assert "esp32, rp2" in refused.value.expected
        assert "linux" not in refused.value.expected, "no board that one can buy"
        assert greet(microbit, 10.0).at_prompt


def test_its_prompt_has_no_raw_paste_and_no_sha256(microbit: str) -> None:
    with Repl(microbit) as repl:
        assert repl.value("6*7") == 42
        data = bytes(range(256)) * 3
        repl.write_file("x", data)
        assert repl.hash_file("x") == sha256(data)
        assert repl.read_file("x") == data

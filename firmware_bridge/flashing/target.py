"""What the board at the prompt is, and whether it can carry the firmware."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge import firmware_files
from firmware_bridge.flashing.errors import RefusedError
from firmware_bridge.flashing.repl import Repl, literal

CHIPS = {"rp2": "RP2040", "esp32": "ESP32"}
"""The one chip of each family on which the firmware is at home (docs/boards.md)."""

OLDEST = (1, 23, 0)
"""The first MicroPython that takes the native code of today's mpy-cross (.mpy version 6.3)."""

VIRTUAL = "linux"  # the box without hardware, which no installer looks for

# from sys.implementation._mpy on: py/persistentcode.h and docs.micropython.org, reference/mpyfiles
ARCHITECTURES = (
    "",
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)

# a micro:bit's MicroPython knows neither os.statvfs nor sys.implementation._mpy
_QUESTION = """
import sys
try:
 import os
 s=os.statvfs(os.getcwd())
 s=(s[1] or s[0],s[2],s[3])
except (ImportError,AttributeError,OSError):
 s=None
i=sys.implementation
v=tuple(i[1])[:3]
print(repr((i[0],v,sys.platform,getattr(i,'_mpy',0),getattr(i,'_machine',''),s)))
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A board that runs MicroPython."""

    platform: str
    machine: str
    version: tuple[int, ...]
    mpy_version: str
    """Version of bytecode that it takes, like ``6.3``; empty for none."""
    architecture: str
    """As mpy-cross calls it; empty where the board does not say."""
    free_bytes: int

    @property
    def version_text(self) -> str:
        """MicroPython's version, as people write it."""
        return ".".join(map(str, self.version))


def look_at(repl: Repl, *, force: bool = False) -> Target:
    """Ask the board what it is; raise `RefusedError` where the firmware cannot run on it.

    `force`: take a chip of a kind that we know, even if nobody has tried it.
    """
    name, version, platform, mpy, machine, room = literal(repl.run(_QUESTION))
    doing = f"board on {repl.port}"
    if name != "micropython":
        raise RefusedError(
            doing,
            got=f"{name} on a {machine or platform}",
            expected="MicroPython",
            remedy="Put MicroPython on it with --base-image (docs/installers.md).",
        )
    known = firmware_files.platforms()
    if platform not in known:
        raise RefusedError(
            doing,
            got=f"a board of the kind {platform!r}, for which there is no firmware",
            expected=f"one of {', '.join(sorted(set(known) - {VIRTUAL}))}",
            remedy="Is this the right port? `cargobox flash --list` shows them all. "
            "Boards that can be a cargo box are listed in docs/boards.md.",
        )
    if tuple(version) < OLDEST or room is None:
        raise RefusedError(
            doing,
            got=f"MicroPython {'.'.join(map(str, version))}",
            expected=f"{'.'.join(map(str, OLDEST))} or newer, with a file system",
            remedy="Put a newer one on it with --base-image (docs/installers.md).",
        )
    chip = machine.rpartition(" with ")[2]
    if not force and CHIPS.get(platform, chip) != chip:
        raise RefusedError(
            doing,
            got=f"a {machine}",
            expected=f"one with an {CHIPS[platform]}",
            remedy="Other chips of the family have other pins and another console. "
            "`--force` puts the firmware on it all the same.",
        )
    architecture = mpy >> 10 & 0x3F
    block_bytes, blocks, free_blocks = room
    return Target(
        platform=platform,
        machine=machine,
        version=tuple(version),
        mpy_version=f"{mpy & 0xFF}.{mpy >> 8 & 3}" if mpy else "",
        architecture=ARCHITECTURES[architecture] if architecture < len(ARCHITECTURES) else "",
        # littlefs may count a block twice: in a full flash fewer than none are free, as an unsigned number
        free_bytes=block_bytes * free_blocks if free_blocks <= blocks else 0,
    )

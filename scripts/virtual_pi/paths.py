"""Where things lie: on the host, in the cache folder; in the guest, where an installer would put them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

# in the guest
VENV = Path("/opt/cargobox")  # as in docs/examples/cargobox.service
PROJECT = Path("/srv/cargobox")  # tests, scripts and docs
TOOLS = Path("/usr/local/lib/virtual-pi")
GUEST_PYTHON = "3.11"  # Debian 12's


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder of everything that was built."""

    folder: Path

    @classmethod
    def default(cls) -> Cache:
        """``$CARGOBOX_VIRTUAL_PI``, or ``.virtual-pi`` at the top of the checkout."""
        return cls(Path(os.environ.get("CARGOBOX_VIRTUAL_PI") or TOP / ".virtual-pi").absolute())

    @property
    def kernel(self) -> Path:
        """The kernel, as QEMU loads it."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """What mounts the disk."""
        return self.folder / "initramfs"

    @property
    def disk(self) -> Path:
        """The root file system: ext4, raw and sparse."""
        return self.folder / "disk.img"

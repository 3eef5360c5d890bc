"""Room on the card where the outbox is: statvfs(3)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Disk:
    """`directory` need not be there yet."""

    name = "disk"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return ``free_bytes``, for who is not root, and ``size_bytes``."""
        try:
            about = os.statvfs(self._directory)
        except OSError:
            return {}
        return {"free_bytes": about.f_bavail * about.f_frsize, "size_bytes": about.f_blocks * about.f_frsize}

"""Small files that are read whole, whatever somebody has put in their place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 1 << 20
"""What somebody writes by hand, and what tells of it, is a hundred times smaller."""


def read_regular(path: Path, most_bytes: int | None = None) -> bytes:
    """Read a whole file. Raises OSError also where it is a pipe or a device, which might never end.

    `most_bytes`: a larger one is refused, too.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        if most_bytes is not None and about.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"{about.st_size:,} bytes, at most {most_bytes:,} are read", str(path))
        return file.read() if most_bytes is None else file.read(most_bytes)

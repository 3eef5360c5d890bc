"""Which software this is, to the byte: two results can only be the same where this is."""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path

import numpy as np

import agent
import calibration

SHORT = 12


@functools.cache
def software() -> str:
    """Return the version in words, with a digest of the source: a checkout changes without its version."""
    digest = hashlib.sha256()
    for package in (agent, calibration):
        for top in sorted(package.__path__):
            for path in sorted(Path(top).rglob("*.py")):
                digest.update(str(path.relative_to(top)).encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    python = ".".join(platform.python_version_tuple()[:2])
    return (
        f"cargobox {agent.__version__} (source {digest.hexdigest()[:SHORT]}), "
        f"numpy {np.__version__}, Python {python}"
    )

"""What a scene's box is told: a piece of its configuration file, read as a box reads it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from agent.config import Config, load_config


@functools.lru_cache(maxsize=64)
def config_of(settings: str) -> Config:
    """Return the configuration that a box with these settings would run. Raises ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cargobox.toml"
        path.write_text(settings)
        return load_config(path)

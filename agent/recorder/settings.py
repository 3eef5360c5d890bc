"""``[recorder]`` of the configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agent.ranges import NotNegative


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[recorder]``: the ring of raw recordings on the card."""

    enabled: bool = True
    directory: str = ""
    """Empty: ``recordings`` in the folder that systemd gives the service, and no ring without systemd."""
    max_mib: Annotated[float, msgspec.Meta(ge=4, le=1e7)] = 3072.0
    max_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0
    kept_mib: Annotated[float, msgspec.Meta(ge=0, le=1e7)] = 1024.0
    min_free_mib: Annotated[float, msgspec.Meta(ge=0, le=1e7)] = 640.0
    file_s: Annotated[float, msgspec.Meta(ge=10, le=86_400)] = 300.0
    file_mib: Annotated[float, msgspec.Meta(ge=0.25, le=1024)] = 16.0
    chunk_kib: Annotated[int, msgspec.Meta(ge=16, le=64)] = 64
    sync_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 5.0
    keep_severity: Annotated[int, msgspec.Meta(ge=1, le=4)] = 3
    keep_before_s: NotNegative = 180.0
    keep_after_s: NotNegative = 120.0

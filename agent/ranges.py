"""Ranges that settings must keep; an error names the key and the range."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Part = Annotated[float, msgspec.Meta(gt=0, le=1)]
"""A part of a whole: above 0, at most 1."""
Angle = Annotated[float, msgspec.Meta(gt=0, le=180)]
"""In degrees."""

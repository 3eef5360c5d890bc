"""Ranges that settings must keep; an error names the key and the range."""

from __future__ import annotations

from typing import Annotated

import msgspec

LEAST = 1e-6
MOST = 32e6
"""In any unit of a setting: a year of seconds, more pascals than a tank bears, and nothing overflows."""
Positive = Annotated[float, msgspec.Meta(ge=LEAST, le=MOST)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=MOST)]
Part = Annotated[float, msgspec.Meta(ge=LEAST, le=1)]
"""A part of a whole: above 0, at most 1."""
Angle = Annotated[float, msgspec.Meta(ge=LEAST, le=180)]
"""In degrees."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"
I2C_BUS = r"^(/dev/[^/\s\x00][^\s\x00]*|i2c-\d+)\Z"
IN_WORDS = {
    NAME: "1 to 64 letters, digits, _, . or -, the first a letter or a digit",
    I2C_BUS: '"/dev/i2c-1", "i2c-1" or 1',
}
"""What text must look like, for errors."""

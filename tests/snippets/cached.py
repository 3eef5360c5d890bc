"""A coder for tests that run the same samples many times: each piece is coded once."""

from __future__ import annotations

from agent.snippets.coding import Coded, Coding, Values, coded

_KNOWN: dict[tuple[str, tuple[int, ...], bytes], Coded] = {}


class _Known:
    def __init__(self, values: Values) -> None:
        self._values = values

    def ready(self) -> bool:
        return True

    def result(self) -> Coded:
        key = self._values.dtype.name, self._values.shape, self._values.tobytes()
        if key not in _KNOWN:
            _KNOWN[key] = coded(self._values)
        return _KNOWN[key]


def cached_coder(values: Values) -> Coding:
    return _Known(values)

"""Records that the card did not take, kept in memory within a bound."""

from __future__ import annotations

from collections.abc import Callable, ItemsView


class Overflow:
    """Frames by id. Not safe across threads by itself."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._frames: dict[int, bytes] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, doc_id: int) -> bytes:
        return self._frames[doc_id]

    def items(self) -> ItemsView[int, bytes]:
        """Return (id, frame) pairs."""
        return self._frames.items()

    def add(self, doc_id: int, frame: bytes) -> None:
        """Keep a frame."""
        self._bytes += len(frame) - len(self._frames.get(doc_id, b""))
        self._frames[doc_id] = frame

    def pop(self, doc_id: int) -> bytes | None:
        """Let go of a frame, if it is here."""
        frame = self._frames.pop(doc_id, None)
        self._bytes -= len(frame or b"")
        return frame

    def shed(self, urgent: Callable[[int], bool]) -> list[tuple[int, bytes]]:
        """Let go of the oldest until the rest is within the bound, urgent ones last; return them."""
        shed: list[tuple[int, bytes]] = []
        if self._bytes <= self._max_bytes:
            return shed
        for doc_id in sorted(self._frames, key=lambda i: (urgent(i), i)):
            if self._bytes <= self._max_bytes:
                break
            frame = self.pop(doc_id)
            assert frame is not None
            shed.append((doc_id, frame))
        return shed

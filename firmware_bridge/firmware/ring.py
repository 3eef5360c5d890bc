"""The last seconds of data frames, and at the same time what waits for the cable.

Frames lie in one buffer, sealed as they travel, oldest first; each has six bytes in front: stream,
samples, sequence, size. ``begin``..``end`` is the next one to send; what was sent stays until its room
is needed, so that the host can ask for it again. Nothing here allocates after the start.

Runs on MicroPython and on CPython, like ``wire.py``.
"""

import wire

HEADER_BYTES = 6

if not wire.IS_MICROPYTHON:
    from wire import micropython, ptr8


@micropython.viper
def find(buffer: ptr8, at: int, top: int, bound: int, wanted: int) -> int:
    """Return where the entry `wanted` (stream << 16 | sequence) begins, or -1.

    Searches `bound` bytes of entries from `at` on; at `top` they go on at 0.
    """
    while bound > 0:
        if at == top:
            at = 0
        if (int(buffer[at]) << 16 | int(buffer[at + 3]) << 8 | int(buffer[at + 2])) == wanted:
            return at
        size: int = 6 + (int(buffer[at + 5]) << 8 | int(buffer[at + 4]))
        at += size
        bound -= size
    return -1


@micropython.viper
def oldest(buffer: ptr8, at: int, top: int, bound: int, stream: int) -> int:
    """Return the sequence of the oldest entry of `stream`, or -1; searches as `find` does."""
    while bound > 0:
        if at == top:
            at = 0
        if int(buffer[at]) == stream:
            return int(buffer[at + 3]) << 8 | int(buffer[at + 2])
        size: int = 6 + (int(buffer[at + 5]) << 8 | int(buffer[at + 4]))
        at += size
        bound -= size
    return -1


@micropython.viper
def copy(source: ptr8, begin: int, end: int, target: ptr8, at: int) -> int:
    """Copy source[begin:end] to `target` from `at` on; return where it ends there."""
    while begin < end:
        target[at] = source[begin]
        at += 1
        begin += 1
    return at


class Ring:
    """Room for `size` bytes of frames of `streams` streams."""

    def __init__(self, size: int, streams: int) -> None:
        self.buffer = bytearray(size)
        self.lost = [0] * streams  # samples whose frame was overwritten before it had left
        self.lost_until = [-1] * streams  # the sequence behind the last of those frames
        self.torn = False  # a frame was overwritten of which a part has left
        self.begin = 0
        self.end = 0
        self._size = size
        self._head = 0  # where the next entry goes
        self._tail = 0  # the oldest entry
        self._top = -1  # where the entries end that were laid before the head went on at the front
        self._held = 0  # bytes of all entries
        self._entries = 0
        self._unsent = 0  # entries
        self._next = 0  # the entry to send next

    def clear(self) -> None:
        """Forget all; another session begins."""
        if self.begin > self._next + HEADER_BYTES and self._unsent:
            self.torn = True
        self._head = self._tail = self._next = self.begin = self.end = 0
        self._held = self._entries = self._unsent = 0
        self._top = -1
        for stream in range(len(self.lost)):
            self.lost[stream] = 0
            self.lost_until[stream] = -1

    def reserve(self, most: int) -> int:
        """Make room for a frame of at most `most` bytes; return where in `buffer` it has to begin."""
        need = most + HEADER_BYTES
        while True:
            if not self._entries:
                self._head = self._tail = 0
                self._top = -1
                break
            if self._top < 0:
                if self._head + need <= self._size:
                    break
                self._top = self._head
                self._head = 0
            elif self._head + need <= self._tail:
                break
            else:
                self._forget()
        return self._head + HEADER_BYTES

    def commit(self, stream: int, sequence: int, samples: int, end: int) -> None:
        """Take the frame that was laid where `reserve` said and ends before `end`."""
        at = self._head
        buffer = self.buffer
        size = end - at - HEADER_BYTES
        buffer[at] = stream
        buffer[at + 1] = samples
        buffer[at + 2] = sequence & 0xFF
        buffer[at + 3] = sequence >> 8
        buffer[at + 4] = size & 0xFF
        buffer[at + 5] = size >> 8
        if not self._unsent:
            self._aim(at)
        self._head = end
        self._held += size + HEADER_BYTES
        self._entries += 1
        self._unsent += 1

    def sent(self, count: int) -> None:
        """`count` bytes from ``begin`` on have left."""
        self.begin += count
        if self.begin == self.end:
            self._unsent -= 1
            self._go_on()

    def unsent(self) -> bool:
        """Return whether anything waits."""
        return self._unsent > 0

    def partly_sent(self) -> bool:
        """Return whether the cable has a part of the next frame."""
        return self._unsent > 0 and self.begin > self._next + HEADER_BYTES

    def oldest(self, stream: int) -> int:
        """Return the sequence of the oldest frame of `stream` that is still here; -1: none is."""
        return oldest(self.buffer, self._tail, self._top, self._held, stream)

    def find(self, stream: int, sequence: int) -> int:
        """Return where the frame begins in ``buffer``, or -1; ``size_at`` says how long it is."""
        at = find(self.buffer, self._tail, self._top, self._held, stream << 16 | sequence)
        return at if at < 0 else at + HEADER_BYTES

    def size_at(self, begin: int) -> int:
        """Return the bytes of the frame that begins at `begin`."""
        return self.buffer[begin - 2] | self.buffer[begin - 1] << 8

    def _aim(self, at: int) -> None:
        self._next = at
        self.begin = at + HEADER_BYTES
        self.end = self.begin + self.size_at(self.begin)

    def _go_on(self) -> None:
        """The next entry is the one to send, if there is one."""
        at = self.end
        if at == self._top:
            at = 0
        if self._unsent:
            self._aim(at)

    def _forget(self) -> None:
        """Give up the oldest entry."""
        at = self._tail
        buffer = self.buffer
        size = HEADER_BYTES + (buffer[at + 4] | buffer[at + 5] << 8)
        if self._unsent and at == self._next:
            stream = buffer[at]
            self.lost[stream] += buffer[at + 1]
            self.lost_until[stream] = ((buffer[at + 2] | buffer[at + 3] << 8) + 1) & 0xFFFF
            self.torn = self.torn or self.begin > at + HEADER_BYTES
            self._unsent -= 1
            self._go_on()
        self._tail = at + size
        self._held -= size
        self._entries -= 1
        if self._tail == self._top:
            self._tail = 0
            self._top = -1

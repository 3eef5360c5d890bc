"""A disk that forgets: what was not flushed is lost at a power cut, sector by sector, in any order.

An NBD server for one QEMU at a time. A write is acknowledged at once and may be read back at once; it is
sure only when a FLUSH (or FUA) that came after it was acknowledged. At the cut each sector written since then
holds any of the versions that it has had: the sure one, the last, or one in between, whatever has become of
its neighbours in the same write. So writes tear at 512 bytes and pass each other freely; no real disk does
worse as long as it does not lie about a flush.

Protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SECTOR_BYTES = 512
MOST_BYTES = 32 << 20  # of one request, as the protocol advises

MAGIC, OPTION_MAGIC, REPLY_MAGIC = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, (1 << 31) + 1
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
FUA = 1  # a request's flag
EINVAL = 22
REQUEST, REQUEST_MAGIC = struct.Struct(">IHHQQI"), 0x25609513
SIMPLE_REPLY, SIMPLE_MAGIC = struct.Struct(">IIQ"), 0x67446698


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a cut did to the sectors that were not sure: how many there were, and what they hold now."""

    unsure: int
    newest: int
    between: int
    oldest: int


class ForgetfulDisk:
    """Serves the file `image` at the socket `address` inside the ``with``; `image` is written to."""

    def __init__(self, image: Path, address: Path, rng: random.Random) -> None:
        self.address = address
        self.flushes = self.written_sectors = 0
        self._rng = rng
        self._file = os.open(image, os.O_RDWR)
        self._size = os.fstat(self._file).st_size
        self._unsure: dict[int, list[bytes]] = {}
        """Sector → what it held when it was last sure, then all that was written to it since."""
        self._changed = threading.Condition()
        self._is_on = True
        self._cut_at_flush = False
        self._client: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, name="disk", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_on = False
            self._hang_up()
            self._listener.close()
            os.close(self._file)

    @property
    def uri(self) -> str:
        """What QEMU is told to open."""
        return f"nbd+unix:///?socket={self.address}"

    @property
    def is_on(self) -> bool:
        """Whether it still answers. It has ceased to before whoever uses it is told of an error."""
        with self._changed:
            return self._is_on

    def stop_at_flush(self) -> None:
        """Answer nothing any more from the next FLUSH on; what it was to make sure, is not."""
        with self._changed:
            self._cut_at_flush = True

    def cut(self, patience_s: float = 0.0) -> Forgotten:
        """Answer nothing any more, until `power_on`, and forget. Waits so long for `stop_at_flush`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_on, patience_s)
            self._is_on = self._cut_at_flush = False
            self._hang_up()
            return self._forget()

    def power_on(self) -> None:
        """Answer again."""
        with self._changed:
            self._is_on = True

    def _forget(self) -> Forgotten:
        unsure, kept, between = len(self._unsure), 0, 0
        share = self._rng.choice((0.0, 0.1, 0.5, 0.9))  # of what had reached the medium by chance
        for sector, versions in self._unsure.items():
            chosen = 0
            if self._rng.random() < share:
                chosen = self._rng.randrange(1, len(versions))
            if chosen != len(versions) - 1:
                os.pwrite(self._file, versions[chosen], sector * SECTOR_BYTES)
            kept += chosen == len(versions) - 1
            between += 0 < chosen < len(versions) - 1
        self._unsure.clear()
        return Forgotten(unsure, kept, between, unsure - kept - between)

    def _hang_up(self) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError, EOFError):
                    self._client = client
                    if self._is_on and self._agree(client):
                        self._answer(client)
                self._client = None

    def _agree(self, client: socket.socket) -> bool:
        """Negotiate; return whether requests follow."""
        client.sendall(MAGIC + OPTION_MAGIC + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES))
        _read(client, 4)  # the client's flags: who does not know fixed newstyle asks for nothing but a name
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
        while True:
            _, option, length = struct.unpack(">8sII", _read(client, 16))
            _read(client, length)
            if option == OPT_EXPORT_NAME:
                client.sendall(struct.pack(">QH", self._size, flags))
                return True
            if option in (OPT_GO, OPT_INFO):
                client.sendall(_reply(option, REP_INFO, struct.pack(">HQH", INFO_EXPORT, self._size, flags)))
                sizes = struct.pack(">HIII", INFO_BLOCK_SIZE, SECTOR_BYTES, 4096, MOST_BYTES)
                client.sendall(_reply(option, REP_INFO, sizes) + _reply(option, REP_ACK))
                if option == OPT_GO:
                    return True
            elif option == OPT_ABORT:
                client.sendall(_reply(option, REP_ACK))
                return False
            else:
                client.sendall(_reply(option, REP_ERR_UNSUP))

    def _answer(self, client: socket.socket) -> None:
        while True:
            _, flags, kind, handle, offset, length = REQUEST.unpack(_read(client, REQUEST.size))
            if kind == DISCONNECT:
                return
            data = _read(client, length) if kind == WRITE else b""
            with self._changed:
                if kind == FLUSH and self._cut_at_flush:
                    self._is_on = False
                    self._changed.notify_all()
                if not self._is_on:
                    return
                error, answer = self._do(kind, flags, offset, length, data)
            client.sendall(SIMPLE_REPLY.pack(SIMPLE_MAGIC, error, handle) + answer)

    def _do(self, kind: int, flags: int, offset: int, length: int, data: bytes) -> tuple[int, bytes]:
        if kind == FLUSH:
            self.flushes += 1
            self._unsure.clear()
            return 0, b""
        fits = offset % SECTOR_BYTES == length % SECTOR_BYTES == 0 and offset + length <= self._size
        if kind not in (READ, WRITE) or not fits:
            return EINVAL, b""
        if kind == READ:
            return 0, os.pread(self._file, length, offset)
        self._write(offset // SECTOR_BYTES, data, sure=bool(flags & FUA))
        return 0, b""

    def _write(self, first: int, data: bytes, *, sure: bool) -> None:
        before = os.pread(self._file, len(data), first * SECTOR_BYTES)
        os.pwrite(self._file, data, first * SECTOR_BYTES)
        for start in range(0, len(data), SECTOR_BYTES):
            sector, end = first + start // SECTOR_BYTES, start + SECTOR_BYTES
            self.written_sectors += 1
            if sure:
                self._unsure.pop(sector, None)
            else:
                self._unsure.setdefault(sector, [before[start:end]]).append(data[start:end])


def _reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data


def _read(client: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = client.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)

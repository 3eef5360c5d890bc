"""The disk that forgets: what was flushed is sure, what was not may be any of what it has been."""

from __future__ import annotations

import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.virtual_pi import forgetful_disk as nbd
from scripts.virtual_pi.forgetful_disk import SECTOR_BYTES, ForgetfulDisk, Forgotten

SECTORS = 64


class Client:
    """As much of NBD as it takes to write, to read and to flush."""

    def __init__(self, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(address))
        self._take(18)
        export = struct.pack(">I8sII", 1, nbd.OPTION_MAGIC, nbd.OPT_EXPORT_NAME, 0)
        self._socket.sendall(export)
        self.size = struct.unpack(">QH", self._take(10))[0]

    def ask(
        self, kind: int, offset: int, length: int, data: bytes = b"", flags: int = 0
    ) -> tuple[int, bytes]:
        self._socket.sendall(nbd.REQUEST.pack(nbd.REQUEST_MAGIC, flags, kind, 7, offset, length) + data)
        _, error, handle = nbd.SIMPLE_REPLY.unpack(self._take(nbd.SIMPLE_REPLY.size))
        assert handle == 7
        return error, self._take(length) if kind == nbd.READ and not error else b""

    def write(self, sector: int, letters: bytes, flags: int = 0) -> None:
        data = b"".join(bytes([letter]) * SECTOR_BYTES for letter in letters)
        assert self.ask(nbd.WRITE, sector * SECTOR_BYTES, len(data), data, flags) == (0, b"")

    def flush(self) -> None:
        assert self.ask(nbd.FLUSH, 0, 0) == (0, b"")

    def read(self, sector: int, count: int) -> bytes:
        """Return the letter of each sector, which is whole."""
        error, data = self.ask(nbd.READ, sector * SECTOR_BYTES, count * SECTOR_BYTES)
        assert error == 0
        return letters_of(data)

    def close(self) -> None:
        self._socket.close()

    def _take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def letters_of(data: bytes) -> bytes:
    sectors = [data[i : i + SECTOR_BYTES] for i in range(0, len(data), SECTOR_BYTES)]
    assert all(len(set(sector)) == 1 for sector in sectors), "a sector is torn within"
    return bytes(sector[0] for sector in sectors)


@contextmanager
def served(folder: Path, seed: int) -> Iterator[tuple[ForgetfulDisk, Client, Path]]:
    image = folder / f"disk-{seed}.img"
    image.write_bytes(b"." * (SECTORS * SECTOR_BYTES))
    with ForgetfulDisk(image, folder / f"nbd-{seed}", random.Random(seed)) as disk:
        client = Client(disk.address)
        assert client.size == SECTORS * SECTOR_BYTES
        yield disk, client, image
        client.close()


def test_what_was_flushed_stays_and_what_was_not_may_be_any_of_what_it_has_been(tmp_path: Path) -> None:
    seen: set[bytes] = set()
    torn = 0
    for seed in range(40):
        with served(tmp_path, seed) as (disk, client, image):
            client.write(0, b"ssss")
            client.flush()
            client.write(8, b"f", flags=nbd.FUA)
            client.write(2, b"aaaaaaaa")
            client.write(2, b"bbbb")
            assert client.read(0, 12) == b"ssbbbbaaaa..", "what was written is there at once"
            forgotten = disk.cut()
            with pytest.raises((EOFError, OSError)):
                client.flush()
        found = letters_of(image.read_bytes())
        assert found[:2] == b"ss", f"seed {seed}: a flush was forgotten: {found!r}"
        # sector 8 was sure by FUA, and written again since
        allowed = (b"sab", b"sab", b".ab", b".ab", b".a", b".a", b"fa", b".a")
        assert all(letter in of for letter, of in zip(found[2:10], allowed, strict=True)), found
        assert found[10:] == b"." * (SECTORS - 10), found
        assert forgotten.unsure == 8 == forgotten.newest + forgotten.between + forgotten.oldest
        seen.update(bytes([letter]) for letter in found)
        torn += len(set(found[6:10])) > 1
    assert seen >= {b"a", b"b", b"s", b"."}, seen
    assert torn > 5, "a write is never torn"


def test_a_cut_comes_with_the_next_flush_which_is_not_answered(tmp_path: Path) -> None:
    with served(tmp_path, 1) as (disk, client, _):
        client.write(0, b"x")
        disk.stop_at_flush()
        with pytest.raises((EOFError, OSError)):
            client.flush()
        assert disk.cut(patience_s=10).unsure == 1
        disk.power_on()
        again = Client(disk.address)
        again.write(0, b"y", flags=nbd.FUA)
        assert (again.read(0, 1), disk.cut()) == (b"y", Forgotten(0, 0, 0, 0))
        again.close()


def test_requests_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with served(tmp_path, 1) as (_, client, image):
        for kind, offset, length in ((nbd.WRITE, 1, 512), (nbd.READ, 0, 100), (nbd.READ, SECTORS * 512, 512)):
            data = bytes(length) if kind == nbd.WRITE else b""
            assert client.ask(kind, offset, length, data) == (nbd.EINVAL, b""), (kind, offset, length)
        assert client.ask(9, 0, 0) == (nbd.EINVAL, b"")
        assert letters_of(image.read_bytes()) == b"." * SECTORS


@pytest.mark.skipif(shutil.which("qemu-io") is None, reason="QEMU's tools are not installed")
def test_qemu_writes_and_flushes(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"." * (SECTORS * SECTOR_BYTES))
    with ForgetfulDisk(image, tmp_path / "nbd", random.Random(2)) as disk:
        words = ["qemu-io", "-f", "raw", "-t", "writeback", disk.uri]
        words += ["-c", "write -P 97 0 4k", "-c", "flush", "-c", "read -P 97 0 4k"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr
        assert disk.flushes, "QEMU does not flush"
        disk.cut()
    assert letters_of(image.read_bytes()) == b"a" * 8 + b"." * (SECTORS - 8)

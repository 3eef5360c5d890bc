"""Cards that can be filled, made read-only, stopped and slowed down, as the kernel really does it.

A card is an ext4 in a file behind a loop device, as on an SD card of its own, or a tmpfs. To mount them one
has to be root, if only of a namespace (``unshare -rm``, which is enough for a tmpfs).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILLER = "filler"
PIECE_BYTES = 1 << 16
SMALLEST_PIECE_BYTES = 512
LIMITS = ("blkio.throttle.write_iops_device", "blkio.throttle.write_bps_device")
"""Requests and bytes a second (Documentation/admin-guide/cgroup-v1/blkio-controller.rst)."""


class CannotMount(Exception):
    """This user may not, or this kernel cannot."""


class Card:
    """Mounted inside the ``with``. `path` is what an agent is given."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.path = folder / "card"
        self._size_mib = size_mib

    def mount(self, *options: str) -> None:
        """Mount it."""
        raise NotImplementedError

    def __enter__(self) -> Card:
        self.path.mkdir(parents=True, exist_ok=True)
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(CannotMount):
            self.unmount()

    def unmount(self) -> None:
        """Take it out; nobody may use it any more."""
        done("umount", self.path)

    def fill(self) -> int:
        """Let another file take all the room that there is; return its bytes."""
        path = self.path / FILLER
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        piece = PIECE_BYTES
        try:
            while piece >= SMALLEST_PIECE_BYTES:
                try:
                    os.write(fd, b"\xff" * piece)
                    os.fsync(fd)
                except OSError:
                    piece //= 2
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def free(self) -> None:
        """Let the other file go."""
        (self.path / FILLER).unlink()


class Tmpfs(Card):
    """In memory, and as full as it says."""

    def mount(self, *options: str) -> None:
        """Mount it."""
        said = ",".join((f"size={self._size_mib}m", *options))
        done("mount", "-t", "tmpfs", "-o", said, "card", self.path)


class Ext4(Card):
    """What a Raspberry Pi has: ext4 with a journal, read-only after an error."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        super().__init__(folder, size_mib)
        self._image = folder / "card.img"
        self._device = ""  # that it is behind

    def __enter__(self) -> Card:
        with self._image.open("wb") as file:
            file.truncate(self._size_mib << 20)
        # no room kept for root, who we are: full is full
        done("mkfs.ext4", "-q", "-m", "0", "-b", "4096", self._image)
        return super().__enter__()

    def mount(self, *options: str) -> None:
        """Mount it."""
        if not self._device:
            self._device = done("losetup", "--find", "--show", self._image)
        try:
            done("mount", "-o", ",".join(("errors=remount-ro", *options)), self._device, self.path)
        except CannotMount:
            done("losetup", "--detach", self._device)
            raise

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        if self._device:
            done("losetup", "--detach", self._device)

    def fail(self) -> None:
        """Let ext4 find an error: it takes no write any more until it was mended."""
        Path(f"/sys/fs/ext4/{Path(self._device).name}/trigger_fs_error").write_text("tried by a test\n")

    def mend(self) -> None:
        """Repair it, as a person would who took it out of the box; it must be unmounted."""
        subprocess.run(["e2fsck", "-fy", self._device], check=False, capture_output=True)

    def allow_writing(self) -> None:
        """Make one that was mounted read-only take writes."""
        done("mount", "-o", "remount,rw", self.path)

    def written_sectors(self) -> int:
        """Return what the device was given to write so far (Documentation/block/stat.rst)."""
        done("sync", "--file-system", self.path)
        return int(Path(f"/sys/block/{Path(self._device).name}/stat").read_text().split()[6])

    @contextlib.contextmanager
    def stuck(self) -> Iterator[None]:
        """Let whoever writes or syncs wait, for as long as the ``with`` lasts (FIFREEZE)."""
        done("fsfreeze", "-f", self.path)
        try:
            yield
        finally:
            done("fsfreeze", "-u", self.path)

    @contextlib.contextmanager
    def slow(self, requests_hz: int, bytes_hz: int) -> Iterator[None]:
        """Let it take no more than so many requests and bytes a second, as long as the ``with`` lasts."""
        number = Path(f"/sys/block/{Path(self._device).name}/dev").read_text().strip()
        limits = list(zip(LIMITS, (requests_hz, bytes_hz), strict=True))
        groups = throttling_groups()
        try:
            for group in groups:
                for name, most in limits:
                    _limit(group / name, number, most)
            yield
        finally:
            for group in groups:
                for name, _ in limits:
                    _limit(group / name, number, 0)


def throttling_groups() -> set[Path]:
    """Return where the kernel throttles block devices: for us, and for its own journal. Raises CannotMount.

    In the second version of control groups there is no limit for the root, in which the journal is written.
    """
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    at = [Path(m[1]) for m in mounts if m[2] == "cgroup" and "blkio" in m[3].split(",")]
    if not at or not all((at[0] / name).exists() for name in LIMITS):
        raise CannotMount("this kernel throttles no block device by blkio.throttle (cgroup v1)")
    groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    ours = next((path for _, names, path in groups if "blkio" in names.split(",")), "/")
    return {at[0], at[0] / ours.lstrip("/")}


def _limit(path: Path, number: str, most: int) -> None:
    try:
        path.write_text(f"{number} {most}\n")
    except OSError as error:
        raise CannotMount(f"{path.name}: {error.strerror}") from error


def done(*command: str | Path) -> str:
    """Run a command of the system; return what it said. Raises CannotMount with what was wrong."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError as error:
        raise CannotMount(f"there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise CannotMount(f"{command[0]}: {error.stderr.strip()}") from error

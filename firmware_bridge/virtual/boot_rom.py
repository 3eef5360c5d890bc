"""What the virtual board with a prompt does before its own flash is asked: the part that cannot be erased.

Run by the real MicroPython (``repl_board.py`` starts it): mounts the flash image as littlefs2 at ``/``, as
a board does, and the computer's files at ``/host``; then runs ``boot.py`` and ``main.py``, and ends at the
prompt. The flash is NOR: 4 KiB erase blocks. After a chosen number of writes the power goes in mid-write.
"""

import os
import sys

import vfs

sys.path[:] = [os.getenv("CARGOBOX_ROM")]
import machine  # noqa: E402 - it lies beside us, and must be found before the flash is

BLOCK_BYTES = 4096
# the operations that the file system asks of a block device, docs.micropython.org, library/vfs
BLOCK_COUNT, BLOCK_SIZE, BLOCK_ERASE = 4, 5, 6


class Flash:
    """A block device over the image file."""

    def __init__(self, path, writes_left):
        self.image = open(path, "r+b")  # noqa: SIM115 - lives as long as the board
        self.blocks = self.image.seek(0, 2) // BLOCK_BYTES
        self.writes_left = writes_left  # until the power goes; negative: it stays

    def readblocks(self, block, buffer, offset=0):
        """Read within one block, or whole ones."""
        self.image.seek(block * BLOCK_BYTES + offset)
        self.image.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        """Write what was erased before."""
        self._write(block * BLOCK_BYTES + offset, buffer)

    def ioctl(self, operation, argument):
        """Answer the file system's questions, and erase."""
        if operation == BLOCK_COUNT:
            return self.blocks
        if operation == BLOCK_SIZE:
            return BLOCK_BYTES
        if operation == BLOCK_ERASE:
            self._write(argument * BLOCK_BYTES, b"\xff" * BLOCK_BYTES)
            return 0
        return None

    def _write(self, at, data):
        self.image.seek(at)
        machine.tell("write")
        if self.writes_left == 0:
            self.image.write(memoryview(data)[: len(data) // 2])
            self.image.flush()
            machine.tell("cut")
            machine.stand_still()
        self.writes_left -= 1
        self.image.write(data)
        self.image.flush()


def boot(is_raw):
    """Run what the flash holds; a board that is reset into the raw prompt leaves ``main.py`` out."""
    for name in ("boot.py",) if is_raw else ("boot.py", "main.py"):
        try:
            with open(name) as f:
                text = f.read()
        except OSError:
            continue
        try:
            program = compile(text, name, "exec")
            machine.tell("runs")
            exec(program, {"__name__": "__main__"})
        except BaseException as error:
            sys.print_exception(error)


flash = Flash(os.getenv("CARGOBOX_FLASH"), int(os.getenv("CARGOBOX_WRITES_LEFT")))
try:
    files = vfs.VfsLfs2(flash)
except OSError:
    vfs.VfsLfs2.mkfs(flash)
    files = vfs.VfsLfs2(flash)
vfs.umount("/")
vfs.mount(files, "/")
vfs.mount(vfs.VfsPosix("/"), "/host")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
boot(bool(os.getenv("CARGOBOX_RAW")))
machine.tell("runs")

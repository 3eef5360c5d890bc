"""The two programs in a board's flash: which one runs, and writing into the other.

``firmware/main.py`` says what each file means. Here the order is what counts: the power may go between any
two lines, and what the board then boots is the old program, until the trial is marked. Names are relative
to the folder in which a board's MicroPython starts, which is its flash: ``/`` on most, ``/flash`` on some.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

from firmware_bridge.firmware_files import SLOTS
from firmware_bridge.flashing.building import VERSION_FILE, Image
from firmware_bridge.flashing.errors import FlashError, RefusedError
from firmware_bridge.flashing.repl import Repl, literal, sha256

LAUNCHER_FILE = "main.py"
STRANGER_FILE = "main.before.py"
OURS = frozenset(("main.py", "boot.py", "config.json", "slot", "why", "boots", "trial", "config.trial"))
CONFIG_FILE = "config.json"
TRIES = 2

# removes what was left by a flash that was cut short
_CLEAN = """
import os
for n in os.listdir():
 if n in ('trial','config.trial','why') or n.endswith('.new'):
  os.remove(n)
"""
_NO_MARKER = "import os\nif 'prompt' in os.listdir():os.remove('prompt')"
_LIST = """
import os
def w(p):
 for e in os.ilistdir(p):
  q=p+'/'+e[0]
  if e[1]&0x4000:
   d.append(q)
   w(q)
  else:
   f[q]=e[3]
d=[]
f={}
try:
 os.stat(%r)
 w(%r)
except OSError:
 pass
print(repr((d,f)))
"""
_MAIN = """
import os
try:
 with open('main.py','rb') as f:
  print(repr((os.stat('main.py')[6],f.readline())))
except OSError:
 print("(0,b'')")
"""


class Slots:
    """The programs in the flash of the board behind `repl`."""

    def __init__(self, repl: Repl) -> None:
        self._repl = repl
        # a Ctrl-C of ours may have ended the launcher before it had taken the marker away
        repl.run(_NO_MARKER)
        active = self._text("slot")
        self.active = active if active in SLOTS else ""
        """The slot that runs; empty for none."""
        self.free_slot = SLOTS[1] if self.active == SLOTS[0] else SLOTS[0]
        """The slot that may be overwritten."""

    @property
    def active_version(self) -> str:
        """The version in the slot that runs; empty where nobody wrote it down."""
        return self._text(f"{self.active}/{VERSION_FILE}") if self.active else ""

    def holds(self, slot: str, files: Mapping[str, bytes]) -> bool:
        """Return whether a slot has exactly these files."""
        _, sizes = self._list(f"{slot}")
        if sizes != {f"{slot}/{name}": len(data) for name, data in files.items()}:
            return False
        return all(self._repl.hash_file(f"{slot}/{name}") == sha256(data) for name, data in files.items())

    def config(self) -> bytes:
        """Return the board's configuration; empty where it has none."""
        return self._bytes(CONFIG_FILE)

    def why(self) -> str:
        """Return what ended the last program that failed: its slot, then a traceback. Empty: unknown."""
        return self._text("why")

    def install(self, image: Image, config: bytes | None, progress: Callable[[float], object]) -> None:
        """Write `image` into the free slot, then launcher and configuration where they differ.

        Nothing of what runs is touched. Raises OSError ENOSPC when the flash is full, with all that was
        written for it removed.
        """
        try:
            self._install(image, config, progress)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._repl.run(_CLEAN)
                self._clear(self.free_slot, {})
            raise

    def mark_trial(self) -> None:
        """Let the next boot try the free slot, once."""
        self.put("trial", self.free_slot.encode())

    def strangers(self) -> str:
        """Return the files of the flash that are not ours, the largest first, in words."""
        sizes = sorted(((size, name) for name, size in self._strangers().items()), reverse=True)
        return ", ".join(f"{name} ({size} bytes)" for size, name in sizes[:5])

    def remove(self, name: str) -> bool:
        """Remove a file; return whether it was there. Raises `RefusedError` for one of ours."""
        name = name.lstrip(":/")  # as mpremote calls it
        if _is_ours(name):
            raise RefusedError(
                f"board on {self._repl.port}, removing {name}",
                got="a file of the firmware itself",
                expected="one that is not ours",
                remedy="Leave this --remove out.",
            )
        if name not in self._strangers():
            return False
        self._repl.run(f"import os\nos.remove({name!r})")
        return True

    def _strangers(self) -> dict[str, int]:
        _, sizes = self._list(".")
        names = {path.removeprefix("./"): size for path, size in sizes.items()}
        return {name: size for name, size in names.items() if not _is_ours(name)}

    def put(self, path: str, data: bytes, progress: Callable[[int], object] = lambda _: None) -> None:
        """Write a file aside, verify it by its hash, and put it in its place in one step."""
        aside = path + ".new"
        for _ in range(TRIES):
            self._repl.write_file(aside, data, progress)
            if (got := self._repl.hash_file(aside)) == sha256(data):
                self._repl.run(f"import os\nos.rename({aside!r},{path!r})")
                return
        raise FlashError(
            f"board on {self._repl.port}, writing {path}",
            got=f"SHA-256 {got.hex()[:16]}… of what it holds, {TRIES} times",
            expected=f"{sha256(data).hex()[:16]}…",
            remedy="Try another cable. If it stays, the board's flash is worn out: take another board.",
        )

    # --- how ---

    def _install(self, image: Image, config: bytes | None, progress: Callable[[float], object]) -> None:
        self._repl.run(_CLEAN)
        slot = self.free_slot
        there = self._clear(slot, image.files)
        done = 0
        for name, data in image.files.items():
            path = f"{slot}/{name}"
            if there.get(path) != len(data) or self._repl.hash_file(path) != sha256(data):
                begun = done
                self.put(path, data, lambda n, begun=begun: progress((begun + n) / image.total_bytes))  # type: ignore[misc]
            done += len(data)
            progress(done / image.total_bytes)
        self._put_launcher(image.launcher)
        if config is not None:
            self.put("config.trial", config)

    def _clear(self, slot: str, wanted: Mapping[str, bytes]) -> dict[str, int]:
        """Remove from a slot what is not wanted, and make its folders; return path → bytes of the rest."""
        folders, sizes = self._list(f"{slot}")
        keep = {f"{slot}/{name}" for name in wanted}
        lines = [f"os.remove({path!r})" for path in sizes if path not in keep]
        needed = {path[:at] for path in keep for at in range(len(path)) if path[at] == "/"}
        # the innermost first; and the outermost first
        lines += [f"os.rmdir({path!r})" for path in sorted(folders, reverse=True) if path not in needed]
        if f"{slot}" not in needed and (folders or sizes):
            lines.append(f"os.rmdir('{slot}')")
        lines += [f"mkdir({path!r})" for path in sorted(needed - set(folders))]
        self._repl.run(
            "import os\ndef mkdir(p):\n try:\n  os.mkdir(p)\n except OSError as e:\n"
            f"  if e.args[0]!={errno.EEXIST}:raise\n" + "\n".join(lines)
        )
        return {path: size for path, size in sizes.items() if path in keep}

    def _put_launcher(self, launcher: bytes) -> None:
        title = launcher.split(b"\n", 1)[0]
        size, first_line = literal(self._repl.run(_MAIN))
        if size == len(launcher) and self._repl.hash_file(LAUNCHER_FILE) == sha256(launcher):
            return
        if size and first_line.strip() != title:
            # somebody else's program: kept aside. Without a main.py a board boots to its prompt
            self._repl.run(f"import os\nos.rename({LAUNCHER_FILE!r},{STRANGER_FILE!r})")
        self.put(LAUNCHER_FILE, launcher)

    def _list(self, folder: str) -> tuple[list[str], dict[str, int]]:
        folders, sizes = literal(self._repl.run(_LIST % (folder, folder)))
        return folders, sizes

    def _text(self, path: str) -> str:
        return self._bytes(path).decode(errors="replace").strip()

    def _bytes(self, path: str) -> bytes:
        try:
            return self._repl.read_file(path)
        except FileNotFoundError:
            return b""


def _is_ours(name: str) -> bool:
    return name in OURS or name.startswith(tuple(f"{slot}/" for slot in SLOTS))

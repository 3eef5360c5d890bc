"""The project as it stands now, as a tar file that the guest unpacks while it boots.

The packages go where pip would put them, from a wheel; tests, scripts and docs lie beside. A change costs a
second or two, and never a new disk.
"""

from __future__ import annotations

import compileall
import fcntl
import py_compile
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from scripts.virtual_pi.paths import GUEST_PYTHON, PROJECT, TOP, VENV, Cache
from scripts.virtual_pi.steps import command, fingerprint, step

PACKAGES = ("agent", "calibration", "firmware_bridge")  # what the wheel holds
SITE = VENV / f"lib/python{GUEST_PYTHON}/site-packages"
PROGRAM = f"""#!{VENV}/bin/python
import sys

from agent.cli import main

sys.exit(main())
"""


def pack(cache: Cache, target: Path) -> None:
    """Write the tar file."""
    files = _files()
    tree = cache.folder / "project"
    with (cache.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        now = fingerprint(*(word for path in files for word in (str(path), TOP / path)), sys.version)
        marks = cache.folder / "marks"
        step("the project's files", marks / "project", now, [tree], lambda: _lay_out(files, tree))
        with tarfile.open(target, "w") as tar:
            for entry in sorted(tree.iterdir()):
                tar.add(entry, entry.name, filter=_as_root)


def _files() -> list[Path]:
    """Return what git tracks, or would with the next commit."""
    words = ("git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = command("listing the project's files", *words)
    paths = (Path(name) for name in listed.split("\0") if name)
    return sorted(path for path in paths if (TOP / path).is_file())


def _lay_out(files: list[Path], tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    site = tree / SITE.relative_to("/")
    site.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        for path in files:
            # the guest imports the packages from the wheel alone, as a user would
            folders = [source] if path.parts[0] in PACKAGES else [source, tree / PROJECT.relative_to("/")]
            for folder in folders:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / path, folder / path)
        pip = (sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check")
        options = ("--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", scratch)
        command("building the project's wheel", *pip, *options, source)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(site)
    program = tree / (VENV / "bin/cargobox").relative_to("/")
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    if "{}.{}".format(*sys.version_info) == GUEST_PYTHON:
        # spares the guest what takes it ten times as long; it may not write there as a service, either
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(
            tree, stripdir=str(tree), prependdir="/", quiet=2, invalidation_mode=unchecked, maxlevels=20
        )


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    if entry.isdir():
        entry.mode = 0o755
    return entry

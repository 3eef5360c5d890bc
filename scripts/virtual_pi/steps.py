"""Steps of a build: each is left out while the fingerprint of what goes into it stays the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.virtual_pi.errors import VirtualPiError


def say(words: str) -> None:
    """Tell the person who waits; stdout belongs to the command that was asked for."""
    print(words, file=sys.stderr, flush=True)


def fingerprint(*inputs: str | Path) -> str:
    """Return what changes with the words, and with the content of the files and folders."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            digest.update(f"word {item}\n".encode())
            continue
        for path in sorted(item.rglob("*")) if item.is_dir() else [item]:
            if path.is_file() and path.suffix != ".pyc":
                mode = os.access(path, os.X_OK)
                digest.update(f"file {path.relative_to(item.parent)} {mode}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def step(what: str, mark: Path, now: str, outputs: Iterable[Path], make: Callable[[], None]) -> None:
    """Run `make` unless `mark` holds the fingerprint `now` and the outputs are there."""
    if mark.exists() and mark.read_text() == now and all(path.exists() for path in outputs):
        return
    mark.unlink(missing_ok=True)
    say(f"{what} …")
    began_s = time.monotonic()
    make()
    mark.write_text(now)
    say(f"  {time.monotonic() - began_s:.0f} s")


def command(doing: str, *words: str | Path, remedy: str = "Mend what it says, then run this again.") -> str:
    """Run a command that must succeed; return what it wrote to stdout."""
    finished = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if words[0] == "debootstrap" else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if finished.returncode:
        told = "\n".join(((finished.stderr or "") + finished.stdout).strip().splitlines()[-12:])
        raise VirtualPiError(
            doing,
            got=f"status {finished.returncode} of {Path(str(words[0])).name}:\n{told}\n",
            expected="status 0",
            remedy=remedy,
        )
    return finished.stdout

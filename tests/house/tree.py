"""The repository as its own tests see it: what git tracks, or would with the next commit."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "calibration", "firmware_bridge")


@functools.cache
def project_files() -> tuple[Path, ...]:
    """Return every file of the project, relative to its top."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (Path(name) for name in listed.stdout.split("\0") if name)
    return tuple(sorted(path for path in paths if (TOP / path).is_file()))


def python_files(*folders: str) -> list[Path]:
    """Return the Python files under these folders of the top, or all of them."""
    return [
        path for path in project_files() if path.suffix == ".py" and (not folders or path.parts[0] in folders)
    ]


def copy_to(folder: Path, paths: list[Path]) -> None:
    """Lay these files of the project out anew under `folder`."""
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((TOP / path).read_bytes())

"""The import contracts bite: each law, broken once in a copy, is reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, copy_to, python_files

LINT = """
from importlinter.cli import lint_imports
raise SystemExit(lint_imports(no_cache=True, no_logo=True))
"""

# The file to add a line to, the line, and what the report must say.
BREACHES = {
    "a stage imports another": (
        "agent/reduction.py",
        "import agent.detection",
        "agent.reduction is not allowed to import agent.detection",
    ),
    "the ground imports a room": (
        "agent/blocks.py",
        "import agent.pipeline",
        "agent.blocks is not allowed to import agent.pipeline",
    ),
    "a detector looks at the clock": (
        "agent/detection/tilt.py",
        "import time",
        "agent.detection is not allowed to import time",
    ),
    "correction keeps a file": (
        "agent/correction.py",
        "from pathlib import Path",
        "agent.correction is not allowed to import pathlib",
    ),
    "the wiring knows the store": (
        "agent/pipeline.py",
        "import agent.outbox",
        "agent.pipeline is not allowed to import agent.outbox",
    ),
    "the cable knows the agent": (
        "firmware_bridge/wire.py",
        "import agent.blocks",
        "firmware_bridge is not allowed to import agent",
    ),
    "the mathematics know the cable": (
        "calibration/certificate.py",
        "import firmware_bridge.errors",
        "calibration is not allowed to import firmware_bridge",
    ),
    "a room without a place": ("agent/attic.py", '"""Nobody said where this stands."""', "- agent.attic"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_broken_law_is_reported(breach: str, tmp_path: Path) -> None:
    name, line, report = BREACHES[breach]
    copy_to(tmp_path, [Path(".importlinter"), *python_files(*PACKAGES)])
    with (tmp_path / name).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = subprocess.run(
        [sys.executable, "-c", LINT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, f"{breach}: exit status {done.returncode}, expected 1\n{said}"
    assert report in " ".join(said.split()), f"{breach}: the report does not say {report!r}:\n{said}"

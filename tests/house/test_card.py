"""What runs on the card does with the runtime dependencies: 512 MB have no room for a demo's libraries."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from tests.house.test_locks import pins

LIST_ORIGINS = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("module", ["agent.cli", "agent.commands.run", "agent.service"])
def test_the_service_imports_no_extra(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_ORIGINS, module], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    extras = set(pins("dev")) - set(pins("agent"))
    of_extras = {
        name: distributions
        for name, distributions in importlib.metadata.packages_distributions().items()
        if name in loaded and extras & {distribution.lower() for distribution in distributions}
    }
    assert not of_extras, f"importing {module} imports what only the extras install: {of_extras}"

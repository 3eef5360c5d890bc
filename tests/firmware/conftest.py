"""Where MicroPython finds both boards' files, the bench, and the programs that try them."""

from __future__ import annotations

import pytest

from tests.firmware.bench import PROGRAMS, lay_out_bench, lay_out_slot


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MICROPYPATH; both boards are there, as `board_rp2` and `board_esp32`."""
    pytest.importorskip("micropython_unix", reason="this machine has no build of MicroPython")
    slot, bench = tmp_path_factory.mktemp("slot"), tmp_path_factory.mktemp("bench")
    for platform in ("rp2", "esp32"):
        lay_out_slot(platform, slot, board=f"board_{platform}.py")
    lay_out_bench(bench)
    return f"{slot}:{bench}:{PROGRAMS}"

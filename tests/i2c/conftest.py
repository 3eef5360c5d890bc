"""The rig on which the drivers are tried: simulated, or a kernel's own bus inside the virtual Pi."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.i2c.rig import Rig, SimulatedRig

IN_THE_GUEST = os.environ.get("CARGOBOX_VIRTUAL_PI_GUEST") == "1"


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a bus without chips."""
    if not IN_THE_GUEST:
        yield SimulatedRig()
        return
    from tests.i2c.kernel_rig import KernelRig

    with KernelRig() as kernel:
        yield kernel

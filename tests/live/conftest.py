"""A broker, somebody who listens to it, and a whole trip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.broker import LastingBroker
from tests.live.journey import Journey, travel
from tests.live.watcher import Watcher


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LastingBroker]:
    """A mosquitto that can be killed and started again."""
    with LastingBroker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def watcher(broker: LastingBroker) -> Iterator[Watcher]:
    """A subscriber of `broker`."""
    with Watcher(broker.port) as watcher:
        yield watcher


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """26 s of trip; it runs once."""
    return travel(tmp_path_factory.mktemp("journey"))

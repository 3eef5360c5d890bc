"""A broker, somebody who listens to it, and runs long enough to be begun before they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.live.broker import LastingBroker
from tests.live.journey import Demonstration, Journey, demonstrate, travel
from tests.live.rough_ride import RoughRide, ride
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


@pytest.fixture(scope="session", autouse=True)
def under_way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Any]]]:
    """Begin the long runs that are asked for later, so that other tests go on meanwhile."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    long: dict[str, Callable[[Path], Any]] = {
        "journey": travel,
        "demonstration": demonstrate,
        "rough_ride": ride,
    }
    with ThreadPoolExecutor() as pool:
        yield {
            name: pool.submit(run, tmp_path_factory.mktemp(name))
            for name, run in long.items()
            if name in wanted
        }


@pytest.fixture(scope="session")
def journey(under_way: dict[str, Future[Any]]) -> Journey:
    """26 s of trip, published and recorded."""
    travelled: Journey = under_way["journey"].result()
    return travelled


@pytest.fixture(scope="session")
def demonstration(under_way: dict[str, Future[Any]]) -> Demonstration:
    """12 s of `cargobox demo`."""
    shown: Demonstration = under_way["demonstration"].result()
    return shown


@pytest.fixture(scope="session")
def rough_ride(under_way: dict[str, Future[Any]]) -> RoughRide:
    """A run whose box is unplugged, reset and frozen on the way."""
    ridden: RoughRide = under_way["rough_ride"].result()
    return ridden

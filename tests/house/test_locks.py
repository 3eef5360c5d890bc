"""The locks in requirements/ hold what setup.cfg asks for, to the byte."""

from __future__ import annotations

import configparser
import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.house.tree import TOP

# Each lock holds the runtime and these extras.
EXTRAS = {
    "agent": (),
    "engineer": ("engineer",),
    "cluster": ("cluster",),
    "demo": ("demo",),
    "flash": ("flash",),
    "orders": ("orders",),
    "dev": ("engineer", "cluster", "flash", "demo", "orders", "dev"),
}
PIN = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>\S+)(?P<rest>[^\n]*(?:\n    --hash=[^\n]*)*)", re.MULTILINE
)
SHA256 = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def asked_for(extras: tuple[str, ...]) -> list[Requirement]:
    """Return the requirements that setup.cfg states for the runtime and these extras."""
    config = configparser.ConfigParser()
    config.read(TOP / "setup.cfg", encoding="utf-8")
    blocks = [config["options"]["install_requires"]]
    blocks += [config["options.extras_require"][extra] for extra in extras]
    return [Requirement(line) for block in blocks for line in block.splitlines() if line and line[0] != "#"]


def lock_text(name: str) -> str:
    """Return the text of a lock."""
    return (TOP / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    """Return the version of each package that a lock holds."""
    return {match["name"]: match["version"] for match in PIN.finditer(lock_text(name))}


@pytest.mark.parametrize("name", EXTRAS)
def test_the_lock_holds_what_setup_cfg_asks_for(name: str) -> None:
    held = pins(name)
    for requirement in asked_for(EXTRAS[name]):
        version = held.get(requirement.name)
        assert version, f"{requirement} of setup.cfg is not in requirements/{name}.txt; run scripts/lock"
        assert requirement.specifier.contains(Version(version)), (
            f"requirements/{name}.txt has {requirement.name} {version}, setup.cfg asks for {requirement};"
            " run scripts/lock"
        )


@pytest.mark.parametrize("name", [*EXTRAS, "build", "lock", "stubs-rp2", "stubs-esp32"])
def test_every_locked_file_is_known_by_its_hash(name: str) -> None:
    matches = list(PIN.finditer(lock_text(name)))
    assert matches, f"requirements/{name}.txt pins nothing"
    bare = [match["name"] for match in matches if not SHA256.search(match["rest"])]
    assert not bare, f"requirements/{name}.txt has no hash for {', '.join(bare)}"
    loose = [
        line for line in lock_text(name).splitlines() if line and line[0] not in "# " and not PIN.match(line)
    ]
    assert not loose, f"requirements/{name}.txt has lines that are no pins: {loose[:3]}"


@pytest.mark.parametrize("name", ["agent", "engineer", "cluster", "flash", "demo", "orders"])
def test_the_locks_agree(name: str) -> None:
    everything = pins("dev")
    other = {
        package: (version, everything.get(package))
        for package, version in pins(name).items()
        if everything.get(package) != version
    }
    assert not other, f"requirements/{name}.txt and dev.txt differ in {other}; run scripts/lock"

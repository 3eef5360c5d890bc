"""What a refusal looks like at the command line: four parts, the exit status, and one JSON document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.live.processes import Running, cargobox

PARTS = ("doing", "got", "expected", "remedy")


@dataclass(frozen=True)
class Refusal:
    """The four parts."""

    doing: str
    got: str
    expected: str
    remedy: str

    @property
    def line(self) -> str:
        """The words on stderr."""
        return f"error: {self.doing}: {self.got}, expected {self.expected}. {self.remedy}"


def refused(*arguments: object, status: int, cwd: Path | None = None) -> Refusal:
    """Run a verb with ``--json`` and return why it refused."""
    return read_refusal(cargobox(*arguments, "--json", cwd=cwd), status=status)


def read_refusal(done: Running, *, status: int) -> Refusal:
    """Return why a process that was given ``--json`` refused."""
    assert done.end() == status, f"exit status {done.end()}, expected {status}: {done.err}"
    assert "Traceback" not in done.err, done.err
    assert len(done.out.splitlines()) == 1, f"one JSON document on stdout, and there is: {done.out!r}"
    document = json.loads(done.out)
    assert list(document) == ["error"], document
    assert tuple(document["error"]) == PARTS, document
    assert all(document["error"].values()), f"an empty part: {document}"
    told = Refusal(**document["error"])
    assert told.line in done.err.splitlines(), f"{done.err}\nlacks {told.line}"
    return told

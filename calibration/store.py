"""Where certificates are kept: a folder to which is only added, each beside the raw session it was made from.

``stream-YYYYMMDD-hash.json``, the day being that on which it was made. The hash in the name is that of the
content, so that a file that was edited afterwards is noticed; `replaces` makes a chain of those of one
sensor. A file is written beside its name, synced, and given its name when it is whole: a power cut leaves
the old ones, and at most a ``.part`` that nobody reads.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from calibration.certificate import HASH_CHARS, Certificate, check, read_certificate
from calibration.errors import CertificateError

NAME = re.compile(rf"^(?P<stream>.+)-(?P<day>\d{{8}})-(?P<hash>[0-9a-f]{{{HASH_CHARS}}})\.json$")
_CHUNK_BYTES = 1 << 20
_NO_TIME = "00000000"


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate of the store, and its file."""

    path: Path
    certificate: Certificate


class CertificateStore:
    """The certificates in `folder`; it is made when the first is added."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def add(self, certificate: Certificate, session: Path | None = None) -> Path:
        """Keep a certificate, and beside it the raw `session` that its ``data`` tells of; return its path.

        Where it names none that it ``replaces``, it replaces the latest of its sensor: read the file for the
        hash that it has then. The same one again changes nothing. Raises CertificateError.
        """
        doing = f"keeping the certificate for {certificate.stream!r} in {self.folder}"
        check(certificate, doing=doing)
        try:
            return self._add(certificate, session, doing)
        except OSError as error:
            raise CertificateError(
                doing,
                got=error.strerror or str(error),
                expected="a folder that takes what is written",
                remedy="Check free space (`df -h`), and that this user may write there.",
            ) from error

    def history(self, stream: str | None = None, sensor: str | None = None) -> list[Kept]:
        """Return those of a stream, and of a sensor where one is named, the oldest first.

        In the order in which they replace each other, else by when they were made. Files that cannot be read,
        or were changed after they were kept, are left out: see `damaged`.
        """
        kept = [k for k in self._readable() if stream is None or k.certificate.stream == stream]
        if sensor is not None:
            kept = [k for k in kept if k.certificate.sensor == sensor]
        return _in_order(kept)

    def latest(self, stream: str, sensor: str = "") -> Certificate | None:
        """Return the newest one of a stream and sensor.

        Where there is none, the newest that names no sensor and so fits any; with an empty `sensor`, the
        newest of all of the stream.
        """
        history = self.history(stream)
        own = [k for k in history if sensor in ("", k.certificate.sensor)]
        fitting = own or [k for k in history if not k.certificate.sensor]
        return fitting[-1].certificate if fitting else None

    def damaged(self) -> list[CertificateError]:
        """Return, in words, which files cannot be read or are not what they were when they were kept."""
        return [error for _, error in self._files() if isinstance(error, CertificateError)]

    def _readable(self) -> Iterator[Kept]:
        for path, found in self._files():
            if isinstance(found, Certificate):
                yield Kept(path, found)

    def _files(self) -> Iterator[tuple[Path, Certificate | CertificateError]]:
        try:
            names = sorted(os.listdir(self.folder))
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            missing = isinstance(error, FileNotFoundError) and not self.folder.is_symlink()
            if not missing:  # it is made when the first is added
                yield self.folder, unreadable(self.folder, getattr(error, "strerror", None) or str(error))
            return
        for name in names:
            if NAME.match(name) is None:
                continue
            path = self.folder / name
            try:
                yield path, read_kept(path)
            except CertificateError as error:
                yield path, error

    def _add(self, certificate: Certificate, session: Path | None, doing: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not certificate.replaces:
            certificate = self._chained(certificate)
        if session is not None:
            self._keep_session(certificate, session, doing)
        path = self.folder / name_of(certificate)
        document = msgspec.json.format(certificate.to_json(), indent=2) + b"\n"
        if not path.exists():
            _write_new(path, [document])
        elif read_certificate(path).hash != certificate.hash:
            raise CertificateError(
                doing,
                got=f"{path.name}, which is not what it was when it was kept",
                expected="a file that nobody changed",
                remedy="Move that file away, and look at it: the store only adds.",
            )
        return path

    def _chained(self, certificate: Certificate) -> Certificate:
        """Return it as the one that replaces the latest of its sensor, unless it is that one itself."""
        history = self.history(certificate.stream, certificate.sensor)
        for kept in history:
            again = msgspec.structs.replace(certificate, replaces=kept.certificate.replaces)
            if again.hash == kept.certificate.hash:
                return again
        last = history[-1].certificate.hash if history else ""
        return msgspec.structs.replace(certificate, replaces=last)

    def _keep_session(self, certificate: Certificate, session: Path, doing: str) -> None:
        if not session.is_file():
            raise CertificateError(
                doing,
                got=f"no file {session}",
                expected="the raw session that it was made from",
                remedy="Check the path.",
            )
        digest = sha256_of(session)
        said = certificate.data
        if said is None or said.sha256 != digest:
            raise CertificateError(
                doing,
                got=f"session {session} with SHA-256 {digest[:HASH_CHARS]}…",
                expected="the session that it was made from: "
                + (f"{said.sha256[:HASH_CHARS]}…" if said is not None else "its data names none"),
                remedy="Fit that session again with `--session`, or name the one it was made from.",
            )
        path = self.folder / said.file
        if not path.exists():
            _write_new(path, _pieces(session))
        elif sha256_of(path) != digest:
            raise CertificateError(
                doing,
                got=f"another session called {path.name} there",
                expected="a name that is free: raw sessions are never written over",
                remedy="Give the session another name.",
            )


def unreadable(folder: Path, got: str) -> CertificateError:
    """Return the error of a folder that cannot be read."""
    return CertificateError(
        f"reading the certificates in {folder}",
        got=got,
        expected="a folder that this user may read",
        remedy="Check the path, `folder` under [certificates], and who may read there.",
    )


def read_kept(path: Path) -> Certificate:
    """Read a certificate file; where its name tells a hash, as a store gives it, hold it to that.

    Raises CertificateError, also for one that was edited since it was made.
    """
    certificate = read_certificate(path)
    match = NAME.match(path.name)
    if match is not None:
        _check_name(path, match, certificate)
    return certificate


def name_of(certificate: Certificate) -> str:
    """Return the name of its file: ``stream-YYYYMMDD-hash.json``."""
    made_ns = certificate.made_ns
    day = _NO_TIME if made_ns is None else f"{datetime.fromtimestamp(made_ns // 10**9, UTC):%Y%m%d}"
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", certificate.stream).lstrip(".") or "_"
    return f"{safe}-{day}-{certificate.hash}.json"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece


def _check_name(path: Path, match: re.Match[str], certificate: Certificate) -> None:
    if match["hash"] != certificate.hash:
        raise CertificateError(
            f"reading certificate {path}",
            got=f"content of hash {certificate.hash}",
            expected=f"{match['hash']}, as its name says",
            remedy="It was edited after it was made; take the original, or calibrate again.",
        )


def _in_order(kept: list[Kept]) -> list[Kept]:
    """Sort by when they were made; one that replaces another never stands before it."""
    by_time = sorted(kept, key=lambda k: (k.certificate.made_ns or 0, k.path.name))
    by_hash = {k.certificate.hash: k for k in by_time}
    out: dict[str, Kept] = {}

    def put(one: Kept) -> None:
        chain = [one]
        while (before := by_hash.get(chain[-1].certificate.replaces)) is not None and before not in chain:
            chain.append(before)
        for link in reversed(chain):
            out.setdefault(link.certificate.hash, link)

    for one in by_time:
        put(one)
    return list(out.values())


def _write_new(path: Path, pieces: Iterator[bytes] | list[bytes]) -> None:
    """Write a file that is whole or not there, and never over another. Raises OSError, FileExistsError."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    try:
        _give_name(part, path)
    finally:
        part.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)  # the name, too: fsync(2) of the file alone does not see to it
    finally:
        os.close(handle)


def _give_name(part: Path, path: Path) -> None:
    """Give a whole file its name, if that is free; also where there are no links, on a FAT card."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise
        part.rename(path)

"""The store of certificates only adds; it tells what was changed in it, and keeps the raw session beside."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from calibration.certificate import Certificate, SessionData, read_certificate
from calibration.errors import CertificateError
from calibration.store import CertificateStore, name_of, sha256_of


def made(day: int = 1, **changes: Any) -> Certificate:
    base = Certificate(
        stream="accel",
        sensor="ADXL345 at i2c-1 0x53",
        gain=((1.0,),),
        bias=(0.01 * day,),
        method="m",
        made_at=f"2026-03-{day:02}T09:30:00Z",
    )
    return msgspec.structs.replace(base, **changes)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "certificates")


def test_names_say_stream_day_and_hash(store: CertificateStore) -> None:
    path = store.add(made())
    assert path.name == f"accel-20260301-{made().hash}.json" == name_of(made())
    assert read_certificate(path) == made()
    assert sorted(p.name for p in store.folder.iterdir()) == [path.name], "something is left beside it"


def test_a_day_is_that_of_universal_time() -> None:
    assert "-20260228-" in name_of(made(made_at="2026-03-01T00:30:00+01:00"))
    assert "-00000000-" in name_of(made(made_at="in March"))
    assert name_of(made(stream="../../etc/load x")).startswith("_.._etc_load_x-")


def test_each_replaces_the_one_before_and_the_old_ones_stay(store: CertificateStore) -> None:
    paths = [store.add(made(day)) for day in (1, 2, 3)]
    history = store.history("accel", made().sensor)
    assert [k.path for k in history] == paths
    hashes = [k.certificate.hash for k in history]
    assert [k.certificate.replaces for k in history] == ["", *hashes[:-1]]
    assert store.latest("accel", made().sensor) == history[-1].certificate


def test_the_same_again_changes_nothing(store: CertificateStore) -> None:
    first, second = store.add(made(1)), store.add(made(2))
    assert (store.add(made(2)), store.add(made(1))) == (second, first)
    assert len(store.history()) == 2


def test_a_clock_that_stood_wrong_does_not_bring_the_old_one_back(store: CertificateStore) -> None:
    store.add(made(9))
    newer = store.add(made(2))  # made later, on a computer whose date was behind
    assert store.latest("accel", made().sensor) == read_certificate(newer)
    assert [k.path for k in store.history()][-1] == newer


def test_sensors_and_streams_do_not_mix(store: CertificateStore) -> None:
    store.add(made(1))
    store.add(made(2, sensor="another"))
    store.add(made(3, stream="load"))
    store.add(made(4, sensor=""))

    def bias(stream: str, sensor: str) -> float | None:
        found = store.latest(stream, sensor)
        return None if found is None else found.bias[0]

    assert bias("accel", made().sensor) == 0.01
    assert bias("accel", "another") == 0.02
    assert bias("accel", "a third") == 0.04, "the one that fits any"
    assert bias("accel", "") == 0.04, "the newest, where nobody says which sensor it is"
    assert bias("load", "a third") is None
    assert bias("gyro", "") is None


def test_the_session_is_kept_beside_it(store: CertificateStore, tmp_path: Path) -> None:
    session = tmp_path / "run.jsonl"
    session.write_bytes(b"step\n" * 300_000)
    data = SessionData(file="accel-session.jsonl", sha256=sha256_of(session), samples=7)
    store.add(made(data=data), session)
    assert (store.folder / "accel-session.jsonl").read_bytes() == session.read_bytes()
    store.add(made(data=data), session)  # once more: it is there already
    session.write_bytes(b"other\n")
    with pytest.raises(CertificateError, match="the session that it was made from"):
        store.add(made(2, data=data), session)
    other = SessionData(file="accel-session.jsonl", sha256=sha256_of(session), samples=1)
    with pytest.raises(CertificateError, match="never written over"):
        store.add(made(2, data=other), session)
    with pytest.raises(CertificateError, match="its data names none"):
        store.add(made(2), session)
    with pytest.raises(CertificateError, match="no file"):
        store.add(made(2, data=data), tmp_path / "none")
    assert len(store.history()) == 1, "a certificate without its session is not kept"


def test_what_was_edited_is_told_and_not_used(store: CertificateStore) -> None:
    store.add(made(1))
    path = store.add(made(2))
    path.write_bytes(path.read_bytes().replace(b"0.02", b"0.05"))
    (store.folder / "accel-20260301-0123456789ab.json").write_bytes(b"{")
    (store.folder / "notes.json").write_bytes(b"nothing of ours")
    assert [k.certificate for k in store.history()] == [made(1)]
    words = [str(error) for error in store.damaged()]
    assert len(words) == 2 and any("edited" in w for w in words) and any("truncated" in w for w in words), (
        words
    )


def test_a_damaged_file_is_not_written_over(store: CertificateStore) -> None:
    path = store.add(made(1))
    path.write_bytes(path.read_bytes().replace(b"0.01", b"0.05"))
    with pytest.raises(CertificateError, match="the store only adds"):
        store.add(made(1))
    assert b"0.05" in path.read_bytes()


def test_nothing_that_contradicts_itself_is_kept(store: CertificateStore) -> None:
    with pytest.raises(CertificateError, match="square gain"):
        store.add(made(gain=()))
    assert not store.folder.exists()


def test_a_cut_in_the_middle_leaves_the_old_ones(
    store: CertificateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(made(1))

    def cut(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", cut)
        with pytest.raises(CertificateError, match="No space left"):
            store.add(made(2))
    assert [k.certificate for k in store.history()] == [made(1)]
    assert not store.damaged()
    store.add(made(2))
    assert len(store.history()) == 2


def test_where_there_are_no_links(store: CertificateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card with FAT knows none."""

    def none(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", none)
    store.add(made(1))
    store.add(made(2))
    assert [k.certificate.bias[0] for k in store.history()] == [0.01, 0.02]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    nothing = CertificateStore(tmp_path / "none")
    assert (nothing.history(), nothing.latest("accel"), nothing.damaged()) == ([], None, [])

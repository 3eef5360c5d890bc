"""Each reason against an order; and that an order is taken once, whatever happens to the card."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.errors import OrderError
from agent.orders import Refusal
from agent.orders.judge import REASONS
from agent.orders.keys import make_pair, read_private, read_public
from agent.orders.memory import Memory
from agent.orders.settings import Verb
from agent.orders.verbs import VERBS, VerbForm, arguments_of
from agent.timebase import TimeMark, TimeQuality
from tests.orders.signing import KEY_ID, NOW_S, OTHER, judge, mark, signed

UNSET = mark(17.0, TimeQuality.UNSET)


def refused(
    folder: Path, payload: bytes, *, verb: str = "status", now: TimeMark | None = None, **more: Any
) -> Refusal:
    retained = more.pop("retained", False)
    with pytest.raises(Refusal) as told:
        judge(folder, **more).judge(verb, payload, retained=retained, now=now or mark())
    assert told.value.reason in REASONS and told.value.got
    return told.value


def test_a_good_order_is_taken_once(tmp_path: Path) -> None:
    key, order = judge(tmp_path).judge("status", signed(5), retained=False, now=mark())
    assert (key, order.verb) == (KEY_ID, "status")
    again = refused(tmp_path, signed(5))  # by a judge that knows of it from the card only
    assert again.reason == "replayed" and again.order is not None
    assert refused(tmp_path, signed(4)).reason == "replayed"
    judge(tmp_path).judge("status", signed(6), retained=False, now=mark())


AGAINST: dict[str, tuple[bytes, dict[str, Any]]] = {
    "retained": (signed(), {"retained": True}),
    "malformed": (b"{}", {}),
    "unknown_key": (signed(key=OTHER), {}),
    "address": (signed(box="other"), {}),
    "verb": (signed(verb="flush"), {}),
    "arguments": (signed(args={"a": 1}), {}),
    "expired": (signed(issued=NOW_S - 3000, expires=NOW_S - 2000), {}),
    "lifetime": (signed(expires=NOW_S + 10**6), {}),
    "future": (signed(issued=NOW_S + 3000, expires=NOW_S + 3060), {}),
    "clock": (signed(verb="restart"), {"verb": "restart", "now": UNSET}),
    "rate": (signed(), {"rate": False}),
}


@pytest.mark.parametrize("reason", AGAINST)
def test_a_reason_against(reason: str, tmp_path: Path) -> None:
    payload, more = AGAINST[reason]
    assert refused(tmp_path, payload, **more).reason == reason
    assert not (tmp_path / "orders.json").exists(), "what is refused uses up no counter"


def test_a_verb_that_is_not_allowed(tmp_path: Path) -> None:
    assert refused(tmp_path, signed(verb="flush"), verb="flush", allow=("status",)).reason == "verb"


def test_a_signature_that_was_given_for_something_else(tmp_path: Path) -> None:
    envelope = json.loads(signed())
    envelope["order"] = envelope["order"].replace("status", "flush")
    told = refused(tmp_path, json.dumps(envelope).encode(), verb="flush")
    assert told.reason == "signature" and told.order is None, "it is not answered"


def test_in_1970_what_changes_nothing_is_done_and_once(tmp_path: Path) -> None:
    judge(tmp_path).judge("status", signed(1), retained=False, now=UNSET)
    assert refused(tmp_path, signed(1), now=UNSET).reason == "replayed"


def test_without_a_date_the_latest_order_tells_that_another_is_old(tmp_path: Path) -> None:
    judge(tmp_path).judge("status", signed(1), retained=False, now=mark())
    old = signed(2, issued=NOW_S - 3000, expires=NOW_S - 2000)
    assert refused(tmp_path, old, now=UNSET).reason == "expired"


def test_a_clock_that_lags_takes_what_seems_to_come_from_the_future(tmp_path: Path) -> None:
    lagging = mark(NOW_S - 10**6, TimeQuality.HOLDOVER)
    judge(tmp_path).judge("status", signed(), retained=False, now=lagging)


def test_a_memory_that_cannot_be_read_or_written_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "orders.json").write_bytes(b"\0" * 40)
    assert refused(tmp_path, signed()).reason == "memory"
    with pytest.raises(OrderError, match="new key"):
        Memory(tmp_path / "orders.json").counter(KEY_ID)
    (tmp_path / "folder" / "orders.json.new").mkdir(parents=True)  # root writes anywhere else
    assert refused(tmp_path / "folder", signed()).reason == "memory"


@pytest.mark.parametrize("name", ["orders.json", "orders.json.new"])
def test_a_pipe_in_the_place_of_the_memory_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    said: list[str] = []

    def ask() -> None:
        try:
            Memory(tmp_path / "orders.json").advance(KEY_ID, 1, NOW_S, sure=True)
            said.append("")
        except OrderError as error:
            said.append(error.got)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(20)
    assert said == ["not a plain file" if name == "orders.json" else ""], said or "it waits for ever"


def test_keys_of_ours_and_of_openssl(tmp_path: Path) -> None:
    public, name = make_pair(tmp_path / "mine")
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600
    theirs = tmp_path / "theirs"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", theirs], check=True)
    subprocess.run(["openssl", "pkey", "-in", theirs, "-pubout", "-out", f"{theirs}.pub"], check=True)
    keys = read_public([str(public), f"{theirs}.pub"])
    assert name in keys and len(keys) == 2
    theirs.chmod(0o600)
    for verify, path in zip(keys.values(), (tmp_path / "mine", theirs), strict=True):
        _public, sign = read_private(path)
        assert verify(b"said", sign(b"said")) and not verify(b"other", sign(b"said"))
    theirs.chmod(0o644)
    with pytest.raises(OrderError, match="chmod 600"):
        read_private(theirs)
    with pytest.raises(OrderError, match="make-key"):
        read_public([str(theirs)])


def test_a_sender_of_the_future_does_not_shut_the_box_for_good(tmp_path: Path) -> None:
    """Without a time server the box takes it; with one, what it then remembers is put right."""
    ahead_s = NOW_S + 10**8
    early = signed(1, issued=ahead_s, expires=ahead_s + 60)
    judge(tmp_path).judge("status", early, retained=False, now=mark(quality=TimeQuality.HOLDOVER))
    assert refused(tmp_path, signed(2), now=mark(quality=TimeQuality.HOLDOVER)).reason == "expired"
    judge(tmp_path).judge("status", signed(3), retained=False, now=mark())
    judge(tmp_path).judge("status", signed(4), retained=False, now=mark(quality=TimeQuality.HOLDOVER))


def test_every_verb_of_the_configuration_has_a_form() -> None:
    assert set(VERBS) == set(get_args(Verb))


def test_a_verb_that_takes_arguments_gets_them_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Around(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        event: str
        before_s: float = 60.0

    monkeypatch.setitem(VERBS, "status", VerbForm(harmless=True, arguments=Around))
    asked = signed(1, args={"event": "drop-1"})
    _, taken = judge(tmp_path).judge("status", asked, retained=False, now=mark())
    assert arguments_of(taken) == Around("drop-1")
    for args in ({}, {"event": 7}, {"event": "x", "more": 1}):
        assert refused(tmp_path, signed(2, args=args)).reason == "arguments"

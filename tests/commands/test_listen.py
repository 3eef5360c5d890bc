"""`cargobox listen`: what arrives at a broker, or lies in files, in plain words; either encoding."""

from __future__ import annotations

import json
import signal
import subprocess
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.cli import main
from agent.commands.words import line_of, words_of
from agent.errors import PayloadError
from agent.records import Encoding, decode, encode
from tests.commands.refusal import refused
from tests.live.broker import LastingBroker
from tests.live.processes import Running, command, environment
from tests.live.setting import BOX, write_config
from tests.uplink.brokers import HOST, PATIENCE_S, Mosquitto, free_port

HEAD = {
    "v": 1,
    "box": BOX,
    "boot": "e232a2ea07a6a3f1",
    "seq": 4,
    "t": "2026-11-22T01:22:18.766321Z",
    "tq": "synced",
    "cal": "none",
    "sw": "0.1.0",
}
DROP = {
    **HEAD,
    "type": "drop",
    "id": "drop-1",
    "phase": "start",
    "start": "2026-11-22T01:22:18.617321Z",
    "end": None,
    "severity": 3,
    "context": "handling",
    "values": {"fall_s": 0.18, "height_m": 0.16},
    "streams": ["accel"],
}
FEATURES = {
    **HEAD,
    "seq": 5,
    "window_s": 10,
    "start": "2026-11-22T01:22:00.000000Z",
    "n": 2,
    "columns": {
        "accel_rms_mps2": {"x": [0.403, 1.023], "y": [0.412, 0.398], "z": [1.7, 2.607]},
        "load_total_kg": [60.35, None],
        "load_mass_kg": [60.003, 59.998],
        "pressure_mean_pa": [1869, 2012],
        "temperature_degc": [5.0, 5.0],
        "humidity_percent": [50.0, 49.92],
        "lid_closed": [1.0, 1.0],
        "leak_mean_v": [3.3, 3.3],
        "leak_min_v": [3.3, 3.3],
    },
}
GAP = {
    **HEAD,
    "seq": 6,
    "stream": "accel",
    "first": 33364,
    "last": 33400,
    "reason": "cable",
    "start": "2026-11-22T01:22:31.000000Z",
    "end": "2026-11-22T01:22:31.038000Z",
}
STATUS = {
    **{k: v for k, v in HEAD.items() if k not in {"seq", "cal"}},
    "state": "offline",
    "reason": "stopped",
}
ALL = {"alarm": DROP, "features": FEATURES, "gap": GAP, "status": STATUS}
LINES = {
    "alarm": "ALARM     major     drop begins: fall 0.18 s, height 0.16 m; while it is handled",
    "features": "features  20 s in steps of 10 s: motion up to 2.61 m/s² rms, load 60.0 kg, tank 1.94 kPa, "
    "5.0 °C, 50 % humidity, lid closed 100 %, 2 more columns",
    "gap": "gap       accel: 37 samples missing (cable), 01:22:31.000Z to 01:22:31.038Z",
    "status": "status    offline (stopped), version 0.1.0",
}
WHEN = "2026-11-22 01:22:18.766Z"


def topic(kind: str, fleet: str = "north") -> str:
    return f"cargobox/1/{fleet}/{BOX}/{kind}"


@contextmanager
def publisher(port: int, **credentials: str) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if credentials:
        client.username_pw_set(**credentials)
    client.connect(HOST, port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def publish(client: mqtt.Client, kind: str, payload: bytes, **more: Any) -> None:
    client.publish(topic(kind, **more), payload, qos=1).wait_for_publish(PATIENCE_S)


@pytest.mark.parametrize("kind", ALL)
def test_a_record_is_a_line(kind: str) -> None:
    assert line_of(topic(kind), ALL[kind]) == f"{WHEN}  north/{BOX}  {LINES[kind]}"
    # without a topic it is known by what it looks like; an alarm is an event then
    assert line_of("", ALL[kind]).split("  ")[1] == BOX
    assert line_of("", ALL[kind]).endswith(LINES[kind].partition("  ")[2].strip())


def test_doubts_are_told() -> None:
    doubtful = {**DROP, "tq": "unset", "cal": "05b5c61ddf93", "trust": "not trusted"}
    assert line_of(topic("alarm"), doubtful).endswith("(the clock was never set) (figures not trusted)")
    over = {**DROP, "phase": "end", "severity": 4, "context": "unknown"}
    assert "event     critical  drop is over: " in line_of(topic("event"), over)
    assert line_of(topic("event"), over).endswith("; context unknown")


def test_what_was_coarsened_is_told() -> None:
    coarse = {
        **FEATURES,
        "coarsened": "budget",
        "spectrum_db": {"accel": {"x": [113.0], "y": [90.1], "z": [99.0]}},
    }
    said = line_of(topic("features"), coarse)
    assert "  20 s in steps of 10 s (coarsened: budget): motion up to " in said
    assert said.endswith(", 2 more columns, spectrum of accel")


def test_figures_of_any_kind_have_words() -> None:
    values = {"from": [0.1, -0.2], "srs": {"hz": [1, 2], "mps2": list(range(9))}, "why": None}
    assert words_of(values) == "from [0.1, -0.2], srs hz [1, 2]; mps2 0 to 8 (9 values), why none"
    assert words_of({"delta_v_mps": 2.5, "cut": True}) == "change of velocity 2.5 m/s, cut"
    assert words_of({"rate_degc_per_min": 0.5, "axis": "x"}) == "rate 0.5 °C/min, axis x"


@pytest.mark.broker
def test_what_arrives_is_told_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """Both encodings, a repetition, what is no record; and the broker is away for a moment."""
    with LastingBroker(tmp_path / "broker") as broker:
        line = command("listen", "--host", HOST, "--port", broker.port, "--kind", "alarm,features,gap")
        with Running(line) as listener:
            listener.wait_line(r"listening to cargobox/1/\+/\+ at ")
            with publisher(broker.port) as client:
                publish(client, "status", encode(STATUS))
                publish(client, "alarm", encode(DROP))
                publish(client, "alarm", encode(DROP, "msgpack"))
                publish(client, "gap", b"\x93\x01\x02\x03")
                publish(client, "gap", b'{"seq":1,"t":5}')
                publish(client, "features", encode(FEATURES, "msgpack"), fleet="south")
            listener.wait_line("features")
            broker.kill()
            listener.wait_line("connecting again")
            broker.start()
            listener.wait_line("listening to", times=2)
            with publisher(broker.port) as client:
                publish(client, "gap", encode(GAP, "msgpack"))
            listener.wait_line("37 samples missing")
            status = listener.end(signal.SIGINT)
    told = [f"{WHEN}  {fleet}/{BOX}  {LINES[kind]}" for fleet, kind in
            (("north", "alarm"), ("south", "features"), ("north", "gap"))]  # fmt: skip
    assert listener.out.splitlines() == told, listener.err
    assert f"{topic('gap')}: reading a payload: 4 bytes that begin with 0x93" in listener.err
    assert "1 alarm, 1 features, 1 gap from 2 boxes; 1 came twice; 2 could not be read" in listener.err
    assert status == 1, "something came that is no record"


@pytest.mark.broker
def test_credentials_and_fleet_are_the_agents_own(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "box", "s3cret"], check=True)
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "wrong").write_text("guess\n")
    for name in ("secret", "wrong"):
        (tmp_path / name).chmod(0o600)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    config = write_config(
        tmp_path, port="none", broker_port=broker.port, broker='username = "box"\npassword_file = "secret"'
    )
    try:
        with Running(command("listen", "--config", config, "--json")) as listener:
            listener.wait_line(r"listening to cargobox/1/default/\+ at ")
            with publisher(broker.port, username="box", password="s3cret") as client:
                publish(client, "alarm", encode(DROP), fleet="north")
                publish(client, "alarm", encode(DROP, "msgpack"), fleet="default")
            listener.wait_line('"payload"')
            assert listener.end(signal.SIGTERM) == 0, listener.err
        assert listener.document == {"topic": topic("alarm", "default"), "qos": 1, "payload": DROP}
        assert listener.err.splitlines()[-1] == "1 alarm from 1 box"
        told = refused("listen", "--host", HOST, "--port", broker.port, status=1)
        assert "not authorized" in told.got and "--config" in told.remedy, told
        config.write_text(config.read_text().replace('"secret"', '"wrong"'))
        told = refused("listen", "--config", config, status=1)
        assert "not authorized" in told.got and "password_file" in told.remedy, told
    finally:
        broker.kill()


def test_no_broker() -> None:
    told = refused("listen", "--host", HOST, "--port", free_port(), status=1)
    assert told.got == "connection refused"
    assert told.remedy == "Check host and port on the command line, and that the broker runs."


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_payload_in_a_file(encoding: Encoding, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "payload"
    file.write_bytes(encode(FEATURES, encoding))
    assert main(["listen", str(file)]) == 0
    assert capsys.readouterr().out == f"{WHEN}  {BOX}  {LINES['features']}\n"
    assert main(["listen", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["payload"] == FEATURES


def test_lines_of_records_and_what_was_written_with_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"topic": topic(kind), "qos": 1, "payload": p}) for kind, p in ALL.items()]
    file, again, pretty = (tmp_path / name for name in ("records.jsonl", "again.jsonl", "list.json"))
    file.write_text("\n".join([*lines[:2], "", "nonsense", *lines[2:]]) + "\n")
    assert main(["listen", str(file), "--json"]) == 1, "a line is none"
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [json.loads(line) for line in lines]
    assert f"error: {file}, line 4: reading a payload: 8 bytes that begin with 0x6e" in said.err
    again.write_text(said.out)
    pretty.write_text(json.dumps([json.loads(line) for line in lines], indent=2))  # as `outbox list --json`
    for other in (again, pretty):
        assert main(["listen", str(other), "--kind", "gap,alarm", "--fleet", "north"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{WHEN}  north/{BOX}  {LINES[k]}" for k in ("alarm", "gap")
        ]
    assert (
        main(["listen", str(again), "--fleet", "south"])
        == main(["listen", str(again), "--box", "other"])
        == 0
    )
    assert capsys.readouterr().out == ""


def test_a_pipe_is_read_as_it_comes() -> None:
    process = subprocess.Popen(
        command("listen", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        process.stdin.write(encode(GAP) + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().decode().endswith(LINES["gap"] + "\n")
        process.stdin.write(encode(DROP))
        process.stdin.close()
        assert process.stdout.read().decode().count("drop begins") == 1
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "got"),
    [
        (["--kind", "alrm"], 2, "'alrm' (did you mean 'alarm'?)"),
        (["x.jsonl", "--host", HOST], 2, "FILE and --host"),
        (["--fleet", "#"], 2, "'#'"),
        (["--port", "70000"], 2, "70000"),
        (["--seconds", "0"], 2, "0.0"),
        (["/none/x.jsonl"], 1, "No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_meant(
    arguments: list[str], status: int, got: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", *arguments, "--json"]) == status
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["got"] == got and all(error.values()), error


@pytest.mark.broker
def test_it_ends_after_its_seconds(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    try:
        with Running(command("listen", "--host", HOST, "--port", broker.port, "--seconds", 0.3)) as listener:
            assert listener.end() == 0, listener.err
    finally:
        broker.kill()
    assert listener.err.splitlines()[-1] == "nothing", "and says that nothing came"


def test_health_in_plain_words() -> None:
    health = {
        "box": "box-7",
        "t": "2026-11-22T01:23:05.100000Z",
        "tq": "synced",
        "sw": "0.1.0",
        "board": {"temperature_degc": 51.1, "undervoltage": True},
        "queue": {"waiting": 3},
        "disk": {"free_bytes": 21_474_836_480},
        "troubles": ["undervoltage"],
        "clock_steps": [{"first": 0, "last": 11, "step_s": 3600.5}],
    }
    line = line_of("cargobox/1/north/box-7/health", health)
    assert line.endswith(
        "health    undervoltage: 3 waiting, 51.1 °C, 21.5 GB free, records 0 to 11: clock 3600.5 s behind"
    ), line
    assert "health    well: 0 waiting" in line_of("", {"box": "box-7", "troubles": []})


NASTY = "\x1b[2J\x1b]0;pwn\x07\n2026 FAKE\x9b1m\u202e\u2028"
UGLY = {"type": NASTY, "box": "x\nFAKE", "boot": NASTY, "values": {NASTY: NASTY}, "context": NASTY}


@pytest.mark.parametrize("kind", ["alarm", "features", "gap", "status", "health", "snippet"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_payload_does_not_steer_the_terminal(
    kind: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = dict.fromkeys((*DROP, "state", "reason", "stream", "sw", "coarsened"), NASTY)
    evil |= {"v": 1, "t": f"2026-11-22T{NASTY}", "first": 1, "last": 2, "troubles": [NASTY]}  # type: ignore[dict-item]
    evil |= {"spectrum_db": {NASTY: 1}, "columns": {NASTY: [1]}, "window_s": 1, "n": 1}  # type: ignore[dict-item]
    evil |= UGLY  # type: ignore[arg-type]
    evil |= {"severity": 1, "phase": "start", "start": NASTY, "end": NASTY}  # type: ignore[dict-item]
    lines = [{"topic": f"{topic(kind)[:12]}{NASTY}/{BOX}/{kind}", "payload": evil}, {NASTY: 1, "v": 1}]
    file = tmp_path / "records.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + f"{NASTY[1:]}\n")
    assert main(["listen", str(file), *more]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1, said.out
    for text in (said.out, said.err):
        assert all(char.isprintable() for char in text.replace("\n", "")), text
    if more:
        assert json.loads(said.out)["payload"] == evil, "and it is the same document"
    else:
        assert "\\x1b[2J\\x1b]0;pwn\\x07\\n2026 FAKE" in said.out


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"a":1}',
        b"\x81\x01\x02",
        *(encode({k: v for k, v in DROP.items() if k != key}) for key in ("v", "box", "boot", "t")),
        encode({**DROP, "box": 5}),
        encode({**DROP, "t": None}),
    ],
    ids=repr,
)
def test_a_document_that_is_no_record_is_told(
    payload: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payload"
    file.write_bytes(payload)
    assert main(["listen", str(file)]) == 1
    said = capsys.readouterr()
    assert not said.out and "reading a record: " in said.err, said


@pytest.mark.parametrize(
    "payload",
    [
        b"\x81\x00\xdd\xff\xff\xff\xff",
        b"\x81\x00\xdf\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x00" + 800 * b"\xdc\xff\xff",
        b"\x81\x00\xdb\xff\xff\xff\xff",
        b"\x81\x00\xc9\xff\xff\xff\xff\x01",
    ],
    ids=lambda payload: payload[:8].hex(),
)
def test_a_size_that_cannot_be_takes_no_room(payload: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError):
            decode(payload)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_update_that_is_an_alarm_has_grown() -> None:
    update = {**DROP, "type": "slosh", "phase": "update", "severity": 3, "values": {"by": "lean"}}
    assert "ALARM     major     slosh gets worse: the liquid leans" in line_of(topic("alarm"), update)
    assert "slosh goes on: " in line_of(topic("event"), update)


def test_words_instead_of_codes() -> None:
    assert words_of({"direction_known": False}) == "direction not known, its kind told by its shape"
    assert words_of({"by": "humidity+rope"}) == "told by humidity and rope"
    srs = {"srs_hz": [10.0, 20.0, 50.0], "srs_mps2": [1.5, 30.5, 3.0]}
    assert words_of(srs) == "shock response up to 30.5 m/s², at 20 Hz"
    assert words_of({"rebounds": 2, "saturated": False}) == "rebounds 2, not saturated"

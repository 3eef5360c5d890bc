"""docs/operators.md done as typed, on a live systemd: install, status, upgrade, remove, and misery.

python -m scripts.virtual_pi.operations     as root; one line a finding, ends with 1 where one is wrong

Misery is a program that cannot start, a configuration that cannot be used, and less memory than it takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agent.outbox.inspect import iter_waiting, verify
from scripts.virtual_pi.paths import PROJECT, VENV
from scripts.virtual_pi.service import CONFIGURATION, LEFT_BEHIND, UNIT, Service

PATIENCE_S = 120.0
PAUSE = threading.Event()  # never set: nothing tells of what systemd does
LOOK_S = 0.5
MOST_EXPOSED = 1.0
LOOP_S = 45.0
OUTBOX = Path("/var/lib/cargobox/outbox")
SECRET, SEALED = Path("/tmp/password"), Path("/etc/cargobox/password.cred")
LOG = Path("/var/log/mosquitto/mosquitto.log")
EDITOR = Path("/usr/local/bin/write-what-is-wanted")
DROP_IN = Path(f"/etc/systemd/system/{UNIT}.d/misery.conf")
OLDER, NEWER = Path("/opt/cargobox-0.7.0"), Path("/opt/cargobox-0.8.0")
CARGOBOX = f"{VENV}/bin/cargobox"


class Findings:
    """What was seen, said at once; `wrong` counts what is not as it should be."""

    def __init__(self) -> None:
        self.wrong = 0

    def say(self, is_right: bool, words: str) -> None:
        """Say one."""
        self.wrong += not is_right
        print(f"  {'ok   ' if is_right else 'WRONG'} {words}", flush=True)


def typed(words: str) -> tuple[int, str]:
    """Do what the page says to type; the guest's shell is root's, without sudo."""
    print(f"$ {words}", flush=True)
    done = subprocess.run(
        words.replace("sudo ", ""), shell=True, check=False, capture_output=True, text=True, cwd=PROJECT
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def until(condition: Callable[[], bool]) -> float | None:
    """Wait for it; return how long that took, None where it never came."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > PATIENCE_S:
            return None
        PAUSE.wait(LOOK_S)
    return time.monotonic() - began_s


def shown(*properties: str) -> dict[str, str]:
    """Return what systemd says of the unit."""
    words = ["systemctl", "show", UNIT, *(f"--property={name}" for name in properties)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def reads() -> bool:
    """Return whether the agent says that it reads the box."""
    state = shown("ActiveState", "StatusText")
    return state["ActiveState"] == "active" and state["StatusText"].startswith("reading")


def status() -> dict[str, Any]:
    """Return `cargobox service status --json`."""
    document: dict[str, Any] = json.loads(typed(f"{CARGOBOX} service status --json")[1])
    return document


def installed(found: Findings) -> None:
    """As the page begins."""
    typed("sudo install -D -m 644 docs/examples/cargobox.toml /etc/cargobox/cargobox.toml")
    lines = CONFIGURATION.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("port = "))
    lines[at] = 'port = "/dev/ttyS1"'
    CONFIGURATION.write_text("\n".join(lines), encoding="utf-8")
    code, words = typed(f"sudo {CARGOBOX} service install --dry-run")
    found.say(code == 0 and "nothing was changed" in words, "a dry run shows, and changes nothing")
    code, words = typed(f"sudo {CARGOBOX} service install")
    found.say(code == 0, words.splitlines()[-1])
    took_s = until(reads)
    found.say(took_s is not None, f"reads the box {took_s} s later")
    code, words = typed(f"sudo {CARGOBOX} service install")
    found.say(code == 0 and words.count("as it is") == 4, "again: every file is as it is")
    until(reads)
    code, words = typed(f"{CARGOBOX} service status")
    found.say(code == 0, words.replace("\n", " | "))
    document = status()
    found.say(document["active"] == "active" and not document["trouble"], f"{document['words']}, in JSON too")


def exposed(found: Findings) -> None:
    """How much systemd thinks the running unit exposes, and the file of it."""
    for how in (UNIT, f"--offline=true /etc/systemd/system/{UNIT}", "cargobox-broker.service"):
        _, words = typed(f"systemd-analyze security --no-pager {how} | tail -n 1")
        level = float(words.split(":")[1].split()[0])
        found.say(level <= MOST_EXPOSED or "broker" in how, words)


def let_in() -> int:
    """Return how often the broker has let in who calls itself 'box'."""
    return LOG.read_text(encoding="utf-8").count("u'box'")


def let_in_since(times: int) -> bool:
    """Return whether it has done so since it was `times`."""
    return let_in() > times


def sealed(found: Findings) -> None:
    """A password that only this computer can decrypt, by `systemctl edit`; after an upgrade, too."""
    good = CONFIGURATION.read_text(encoding="utf-8")
    text = good.replace('username = ""', 'username = "box"', 1)
    text = text.replace('password_file = ""', 'password_file = "credentials:password"', 1)
    CONFIGURATION.write_text(text, encoding="utf-8")
    SECRET.write_text("a secret", encoding="utf-8")
    typed("sudo systemctl restart cargobox")
    journal = "journalctl -u cargobox --no-pager -o cat -n 8"
    told_s = until(lambda: "expected a credential that systemd hands" in typed(journal)[1])
    found.say(told_s is not None and reads(), "without it: said in words, and all else goes on")
    code, words = typed(f"sudo systemd-creds encrypt --name=password {SECRET} {SEALED}")
    found.say(code == 0 and b"a secret" not in SEALED.read_bytes(), f"sealed {words}")
    SECRET.write_text(f"[Service]\nLoadCredentialEncrypted=password:{SEALED}\n", encoding="utf-8")
    EDITOR.write_text(f'#!/bin/sh\nfor file; do :; done\ncat {SECRET} > "$file"\n', encoding="utf-8")
    EDITOR.chmod(0o755)
    edit = f"SYSTEMD_EDITOR={EDITOR} systemctl edit cargobox"
    code, words = typed(f"script -qec '{edit}' /dev/null")  # it wants a terminal
    found.say(code == 0, f"edited: {words.splitlines()[-1:]}")
    for step in ("systemctl restart cargobox", f"{CARGOBOX} service install"):
        known = let_in()
        code, _ = typed(f"sudo {step}")
        took_s = until(reads)
        online = until(partial(let_in_since, known))
        found.say(
            code == 0 and took_s is not None and online is not None,
            f"reads the box after {took_s} s, and the broker knows it as u'box'",
        )
    typed("rm /etc/systemd/system/cargobox.service.d/override.conf")
    CONFIGURATION.write_text(good, encoding="utf-8")
    typed(f"sudo {CARGOBOX} service install; sudo systemctl restart cargobox")
    found.say(until(reads) is not None, "as it was")


def loops(found: Findings) -> None:
    """A program that ends at once with 1: tried again, neither in a rush nor given up."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("[Service]\nExecStart=\nExecStart=/bin/false\n")
    typed("sudo systemctl daemon-reload; sudo systemctl restart --no-block cargobox")
    PAUSE.wait(2.0)  # systemd has heard
    before, began_s = int(shown("NRestarts")["NRestarts"]), time.monotonic()
    PAUSE.wait(LOOP_S)
    state = shown("NRestarts", "ActiveState", "SubState")
    times = int(state["NRestarts"]) - before
    found.say(
        2 <= times <= 5 and state["ActiveState"] == "activating",
        f"a program that cannot start: {times} attempts in {time.monotonic() - began_s:.0f} s, {state}",
    )
    DROP_IN.unlink()
    typed("sudo systemctl daemon-reload")
    took_s = until(reads)
    found.say(took_s is not None, f"mended, it is back by itself after {took_s} s")


def misconfigured(found: Findings) -> None:
    """Status 2: left alone, and said; a mended file and the page's own word bring it back."""
    good = CONFIGURATION.read_text(encoding="utf-8")
    CONFIGURATION.write_text("[box]\nidd = 1\n", encoding="utf-8")
    typed("sudo systemctl restart cargobox")
    took_s = until(lambda: shown("ActiveState")["ActiveState"] == "failed")
    code, words = typed(f"{CARGOBOX} service status")
    found.say(took_s is not None and code == 1, f"a wrong configuration: {words}".replace("\n", " | "))
    CONFIGURATION.write_text(good, encoding="utf-8")
    code, _ = typed(f"sudo {CARGOBOX} service install")
    found.say(code == 0 and until(reads) is not None, "mended: `service install` brings it back")


def starved(found: Findings) -> None:
    """Less memory than it takes, while records wait: the kernel ends it, and nothing of them is lost."""
    typed("sudo systemctl stop mosquitto")
    PAUSE.wait(25.0)  # two batches of features
    waited = set(numbers())
    state = shown("NRestarts", "MainPID", "MemoryCurrent")
    print(f"  {len(waited)} records wait, {int(state['MemoryCurrent']) >> 20} MiB are used")
    limits = "MemoryHigh=infinity MemoryMax={} MemorySwapMax=0"
    typed(f"sudo systemctl set-property --runtime {UNIT} {limits.format('16M')}")
    took_s = until(lambda: shown("Result", "MainPID")["MainPID"] != state["MainPID"])
    result = shown("Result")["Result"]
    typed(f"sudo systemctl set-property --runtime {UNIT} {limits.format('256M')}")
    back_s = until(reads)
    found.say(
        took_s is not None and back_s is not None, f"ended after {took_s} s ({result}), back after {back_s} s"
    )
    missing = waited - set(numbers())
    verdict = verify(OUTBOX)
    found.say(not missing and verdict.sound, f"lost of {len(waited)}: {len(missing)}; {verdict.findings}")
    typed("sudo systemctl start mosquitto")


def numbers() -> list[tuple[str, int]]:
    """Return which records wait."""
    return [(waiting.boot, waiting.seq) for waiting in iter_waiting(OUTBOX)]


def upgraded(found: Findings) -> None:
    """An upgrade and the way back, by the symbolic link of the page."""
    typed(f"cp -a {VENV} {NEWER}")  # the guest has no network to install it from
    typed(f"[ -L {VENV} ] || sudo mv {VENV} {OLDER}")
    for version in (NEWER, OLDER, NEWER):
        typed(f"sudo ln -sfn {version} {VENV}")
        before = shown("MainPID")["MainPID"]
        code, _ = typed(f"sudo {CARGOBOX} service install")
        until(reads)
        process = shown("MainPID")["MainPID"]
        maps = Path(f"/proc/{process}/maps").read_text()
        runs = f"{version}/lib" in maps and process != before
        found.say(code == 0 and runs, f"{version.name} runs, and goes on with {len(numbers())} records")


def removed(found: Findings) -> None:
    """Removed, with and without what is stored, and installed again."""
    code, words = typed(f"sudo {CARGOBOX} service remove")
    gone = shown("LoadState")["LoadState"] == "not-found"
    found.say(code == 0 and gone and OUTBOX.exists(), words.splitlines()[-1] + "; the store is there")
    code, words = typed(f"{CARGOBOX} service status")
    found.say(code == 1 and "not installed" in words, "status says that it is not installed, with 1")
    code, _ = typed(f"sudo {CARGOBOX} service remove")
    found.say(code == 0, "removed once more: nothing to do")
    code, _ = typed(f"sudo {CARGOBOX} service install")
    found.say(code == 0 and until(reads) is not None, "installed again, it reads the box")
    code, words = typed(f"sudo {CARGOBOX} service remove --purge")
    found.say(code == 0 and not any(Path(path).exists() for path in LEFT_BEHIND), "purged: nothing is stored")
    code, _ = typed(f"sudo {CARGOBOX} service install")
    found.say(code == 0 and until(reads) is not None, "installed again, it reads the box")


def main() -> int:
    """Do it all."""
    found = Findings()
    subprocess.run(["systemctl", "start", "mosquitto"], check=True)
    for step in (installed, exposed, sealed, loops, misconfigured, starved, upgraded, removed):
        print(f"{step.__name__}:", flush=True)
        step(found)
    Service("").stop()
    print(f"{found.wrong} findings are wrong")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

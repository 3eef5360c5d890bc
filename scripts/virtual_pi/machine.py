"""VirtualPi: the machine from its boot to its end, and what can be done with it meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.virtual_pi import porter
from scripts.virtual_pi.errors import VirtualPiError
from scripts.virtual_pi.paths import Cache

BOOT_TIMEOUT_S = 300.0
POWER_OFF_TIMEOUT_S = 60.0
RECEIVE_BYTES = 1 << 18
SEND_BYTES = 1 << 16
TAIL_BYTES = 2000  # of the console, in an error
# tsc=reliable: reading the time is then a few instructions, not a visit to an emulated chip
# wide vectors, which numpy and the C library choose where they see them, are what is emulated slowest
QUICK_CPU = "max,la57=off,avx=off,avx2=off,fma=off,f16c=off"
KERNEL_ARGUMENTS = "console=ttyS0,115200 quiet panic=-1 mitigations=off tsc=reliable net.ifnames=0"


@dataclass(frozen=True, slots=True)
class Options:
    """What the machine has.

    `disk`: an overlay that keeps what is written, made when missing; or `drive`: where QEMU finds the disk,
    such as a ``ForgetfulDisk.uri``. `network`: the guest reaches the host, as 10.0.2.2. `niceness`: of QEMU
    on the host. Where others use the processors too, an emulated one that has to queue for each turn makes a
    transfer of 1 ms one of 20 ms.
    """

    cpus: int = 2
    memory_mib: int = 1024
    disk: Path | None = None
    drive: str | None = None
    network: bool = False
    kernel_arguments: str = ""
    niceness: int = -10
    accelerator: str = "tcg,thread=multi,tb-size=256"
    cpu: str = QUICK_CPU
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended: its status (-N for signal N) and what it wrote."""

    command: str
    status: int
    output: str


def qemu_command(cache: Cache, options: Options, project: Path | None, console: str) -> list[str]:
    """Return the machine as QEMU wants it; `console` is what the guest's first serial port is."""
    # when we are killed, so is it
    words = ["setpriv", "--pdeathsig", "KILL", "--"]
    words += ["qemu-system-x86_64", "-machine", "q35", "-accel", options.accelerator, "-cpu", options.cpu]
    words += ["-smp", str(options.cpus), "-m", str(options.memory_mib)]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    if options.network:
        words += ["-netdev", "user,id=host", "-device", "virtio-net-pci,netdev=host,romfile="]
    else:
        words += ["-nic", "none"]
    words += ["-kernel", str(cache.kernel), "-initrd", str(cache.initramfs)]
    words += ["-append", f"{KERNEL_ARGUMENTS} {options.kernel_arguments}".strip()]
    if options.drive is not None:
        root = f"file={options.drive},format=raw"
    elif options.disk is None:
        root = f"file={cache.disk},format=raw,snapshot=on"
    else:
        root = f"file={options.disk},format=qcow2,snapshot=off"
    words += ["-drive", f"if=none,id=root,{root},cache=writeback", "-device", "virtio-blk-pci,drive=root"]
    if project is not None:
        words += ["-drive", f"if=none,id=project,file={project},format=raw,readonly=on"]
        words += ["-device", "virtio-blk-pci,drive=project"]
    words += ["-object", "rng-random,id=random,filename=/dev/urandom"]
    words += ["-device", "virtio-rng-pci,rng=random"]
    return [*words, "-serial", console]


class VirtualPi:
    """A context manager: booted inside it, ended after it.

    `project`: a tar file that is unpacked at the guest's root before any service starts.
    """

    def __init__(self, cache: Cache, project: Path | None = None, options: Options | None = None) -> None:
        self._cache = cache
        self._project = project
        self._options = options or Options()
        self._folder = Path(tempfile.mkdtemp(prefix="virtual-pi-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._port: socket.socket | None = None
        self._sending = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[tuple[bytes, bytes]]] = {}
        self._count = 0
        self.boot_s = 0.0

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def console(self) -> Path:
        """What the guest has written to its console."""
        return self._folder / "console.log"

    @property
    def serial(self) -> Path:
        """The socket that is the far end of the guest's second serial port, ``/dev/ttyS1``."""
        return self._folder / "serial"

    def boot(self) -> None:
        """Switch it on; return when it takes commands."""
        self._make_overlay()
        for name in ("serial", "porter"):
            (self._folder / name).unlink(missing_ok=True)
        words = qemu_command(self._cache, self._options, self._project, f"file:{self.console}")
        words += ["-chardev", f"socket,id=serial,path={self.serial},server=on,wait=off"]
        words += ["-serial", "chardev:serial", "-device", "virtio-serial-pci"]
        words += ["-chardev", f"socket,id=porter,path={self._folder / 'porter'},server=on,wait=off"]
        words += ["-device", "virtserialport,chardev=porter,name=porter", *self._options.extra]
        began_s = time.monotonic()
        with (self._folder / "qemu.log").open("wb") as log:
            # its own session: a Ctrl-C at the terminal is for us, and we end it
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._favour(self._process.pid)
        end_s = began_s + BOOT_TIMEOUT_S
        self._port = self._connect(end_s)
        ready: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        self._answers = {0: ready}
        threading.Thread(target=self._receive, args=(self._port,), daemon=True).start()
        try:
            kind, _ = ready.get(timeout=end_s - time.monotonic())
        except queue.Empty:
            raise self._lost("booting", f"nothing in {BOOT_TIMEOUT_S:.0f} s") from None
        if kind != porter.READY:
            raise self._lost("booting", "its end")
        self.boot_s = time.monotonic() - began_s

    def run(
        self,
        command: str | list[str],
        *,
        timeout_s: float = 120.0,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Finished:
        """Run a command for the shell, or a list of words, as root; return when it has ended.

        Its output and errors come together; `on_output` gets them as they come, and then they are not
        kept. After `timeout_s` it is killed, and that is an error.
        """
        text = command if isinstance(command, str) else shlex.join(command)
        with self._sending:
            self._count += 1
            number = self._count
            answers = self._answers[number] = queue.SimpleQueue()
        try:
            wanted = {"command": text, "environment": dict(environment or {})}
            self._send(porter.pack(porter.RUN, number, json.dumps(wanted).encode()))
            for start in range(0, len(stdin), SEND_BYTES):
                self._send(porter.pack(porter.INPUT, number, stdin[start : start + SEND_BYTES]))
            self._send(porter.pack(porter.INPUT, number))
            return self._await_end(number, text, answers, timeout_s, on_output)
        finally:
            self._answers.pop(number, None)

    def check(self, command: str | list[str], *, timeout_s: float = 120.0, stdin: bytes = b"") -> str:
        """Run a command that must succeed; return what it wrote."""
        finished = self.run(command, timeout_s=timeout_s, stdin=stdin)
        if finished.status:
            raise VirtualPiError(
                f"running {finished.command!r} in the virtual Pi",
                got=f"status {finished.status}: {finished.output[-TAIL_BYTES:].strip()}",
                expected="status 0",
                remedy="Look for yourself: scripts/virtual_pi/shell.",
            )
        return finished.output

    def put(self, content: bytes | Path, target: str) -> None:
        """Write a file in the guest, and the folders that it lies in."""
        data = content.read_bytes() if isinstance(content, Path) else content
        quoted = shlex.quote(target)
        self.check(f"mkdir -p -- $(dirname {quoted}) && cat >{quoted}", stdin=data)

    def get(self, source: str) -> bytes:
        """Return a file of the guest's."""
        chunks: list[bytes] = []
        finished = self.run(["cat", "--", source], on_output=chunks.append)
        data = b"".join(chunks)
        if finished.status:
            raise VirtualPiError(
                f"fetching {source} from the virtual Pi",
                got=data[-TAIL_BYTES:].decode(errors="replace").strip(),
                expected="a file",
                remedy="Look for yourself: scripts/virtual_pi/shell.",
            )
        return data

    def power_cut(self) -> None:
        """Take its power away, at once; with a `disk` of its own, boot() then finds what had reached it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._port is not None:
            self._port.close()
            self._port = None

    def power_off(self) -> None:
        """Shut it down in order."""
        assert self._process is not None
        self.run("systemctl poweroff --no-block")
        try:
            self._process.wait(POWER_OFF_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise self._lost("shutting down", f"no end in {POWER_OFF_TIMEOUT_S:.0f} s") from None
        self.power_cut()

    def close(self) -> None:
        """End it, however it stands, and remove what belonged to this run."""
        self.power_cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _favour(self, process: int) -> None:
        with contextlib.suppress(OSError):  # not for everybody, and not on every kernel
            os.setpriority(os.PRIO_PROCESS, process, self._options.niceness)
            # sessions compete as groups, and within one alone does the niceness of a process count
            Path(f"/proc/{process}/autogroup").write_text(str(self._options.niceness))

    def _make_overlay(self) -> None:
        disk = self._options.disk
        if disk is None or disk.exists():
            return
        words = [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            str(self._cache.disk),
            str(disk),
        ]
        subprocess.run(words, check=True)

    def _connect(self, end_s: float) -> socket.socket:
        while time.monotonic() < end_s:
            port = socket.socket(socket.AF_UNIX)
            try:
                port.connect(str(self._folder / "porter"))
            except OSError:
                port.close()
            else:
                return port
            assert self._process is not None
            if self._process.poll() is not None:
                raise self._lost("booting", f"the end of QEMU, status {self._process.returncode}")
            time.sleep(0.05)
        raise self._lost("booting", "no QEMU")

    def _send(self, frame: bytes) -> None:
        with self._sending:
            if self._port is None:
                raise self._lost("telling the virtual Pi what to do", "no machine that runs")
            try:
                self._port.sendall(frame)
            except OSError as error:
                raise self._lost("telling the virtual Pi what to do", os.strerror(error.errno or 0)) from None

    def _receive(self, port: socket.socket) -> None:
        unpacker = porter.Unpacker()
        with contextlib.suppress(OSError):
            while data := port.recv(RECEIVE_BYTES):
                for kind, number, payload in unpacker.feed(data):
                    answers = self._answers.get(number)
                    if answers is not None:
                        answers.put((kind, payload))
        for answers in list(self._answers.values()):
            answers.put((b"", b""))

    def _await_end(
        self,
        number: int,
        command: str,
        answers: queue.SimpleQueue[tuple[bytes, bytes]],
        timeout_s: float,
        on_output: Callable[[bytes], None] | None,
    ) -> Finished:
        chunks: list[bytes] = []
        end_s = time.monotonic() + timeout_s
        doing = f"running {command!r} in the virtual Pi"
        while True:
            try:
                kind, payload = answers.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                self._send(porter.pack(porter.KILL, number))
                written = b"".join(chunks)[-TAIL_BYTES:].decode(errors="replace")
                raise VirtualPiError(
                    doing,
                    got=f"no end in {timeout_s:g} s, after {written!r}",
                    expected="its status",
                    remedy="Give it more time, or look for yourself: scripts/virtual_pi/shell.",
                ) from None
            if kind == porter.OUTPUT:
                (on_output or chunks.append)(payload)
            elif kind == porter.ENDED:
                return Finished(command, int(payload), b"".join(chunks).decode(errors="replace"))
            else:
                raise self._lost(doing, "the machine's end")

    def _lost(self, doing: str, got: str) -> VirtualPiError:
        told = []
        for path in (self._folder / "qemu.log", self.console):
            with contextlib.suppress(OSError):
                told.append(path.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip())
        return VirtualPiError(
            doing,
            got=f"{got}\n{' '.join(text for text in told if text)}\n",
            expected="a machine that runs",
            remedy="What QEMU and the console said stands above; scripts/virtual_pi/shell shows more.",
        )

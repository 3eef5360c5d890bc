"""A line between an agent and its broker that cuts, delays and truncates what goes through, by a seed."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

from tests.uplink.brokers import HOST

PIECE_BYTES = 2048
CUT_SHARE = 0.01
TRUNCATED_SHARE = 0.02
DELAYED_SHARE = 0.1
SPLIT_SHARE = 0.2
DELAY_MAX_S = 0.3


class RoughLine:
    """Listens at `port`; each piece of bytes, either way, may meet with harm while `is_rough`."""

    def __init__(self, broker_port: int, seed: int) -> None:
        self.is_rough = True
        self.hurts: Counter[str] = Counter()
        self.broker_port = broker_port
        self._chance = random.Random(seed)
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            _end(sock)

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection((HOST, self.broker_port))
            except OSError:
                return
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(sock)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                harm = self._chance.random() if self.is_rough else 1.0
                if harm < CUT_SHARE:
                    self.hurts["cut"] += 1
                    break
                if harm < CUT_SHARE + TRUNCATED_SHARE:  # the rest of a packet never comes
                    self.hurts["truncated"] += 1
                    target.sendall(piece[: self._chance.randrange(len(piece))])
                    break
                if harm < CUT_SHARE + TRUNCATED_SHARE + DELAYED_SHARE:
                    self.hurts["delayed"] += 1
                    time.sleep(self._chance.uniform(0.0, DELAY_MAX_S))
                elif harm < CUT_SHARE + TRUNCATED_SHARE + DELAYED_SHARE + SPLIT_SHARE and len(piece) > 1:
                    self.hurts["split"] += 1  # half a packet, and the rest a little later
                    at = self._chance.randrange(1, len(piece))
                    target.sendall(piece[:at])
                    time.sleep(0.001)
                    piece = piece[at:]
                target.sendall(piece)
        for sock in (source, target):
            _end(sock)
            self._open.discard(sock)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()

"""Keys of orders: Ed25519 in the files that ``openssl genpkey -algorithm ed25519`` writes, too.

The files hold the 32 bytes of a key behind a head that is always the same (RFC 8410, 4 and 7). libsodium,
by PyNaCl, is imported when the first key is: an agent without [orders] does not carry it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.errors import OrderError
from agent.orders.form import KEY_BYTES, key_id
from agent.plain_files import MOST_BYTES, read_regular

PUBLIC_HEAD = bytes.fromhex("302a300506032b6570032100")
PRIVATE_HEAD = bytes.fromhex("302e020100300506032b657004220420")

Verify = Callable[[bytes, bytes], bool]
"""Takes what was signed and a signature."""
_PEM = re.compile(r"-----BEGIN (?P<kind>PUBLIC|PRIVATE) KEY-----\s(?P<text>.+?)-----END", re.DOTALL)


def read_public(paths: Iterable[str]) -> dict[str, Verify]:
    """Return how to verify, by the key's name. Raises OrderError."""
    return {key_id(public): _verifier(public) for public in (_read(Path(p), "PUBLIC") for p in paths)}


def read_private(path: Path) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Return the public key of a private one, and how to sign with that. Raises OrderError."""
    from nacl.signing import SigningKey

    if path.exists() and path.stat().st_mode & 0o077:
        raise OrderError(
            f"reading the key {path}",
            got="other users of this computer can read it",
            expected="a key that is its owner's alone",
            remedy=f"chmod 600 {path}. Others may have read it: make a new one if this computer has any.",
        )
    key = SigningKey(_read(path, "PRIVATE"))
    return bytes(key.verify_key), lambda data: bytes(key.sign(data).signature)


def make_pair(path: Path) -> tuple[Path, str]:
    """Write a new pair to `path` and `path`.pub; return the latter and the key's name. Raises OSError."""
    from nacl.signing import SigningKey

    key = SigningKey.generate()
    public = path.with_name(path.name + ".pub")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_pem("PRIVATE", PRIVATE_HEAD + bytes(key)))
    with public.open("x") as file:
        file.write(public_pem(bytes(key.verify_key)))
    return public, key_id(bytes(key.verify_key))


def _verifier(public: bytes) -> Verify:
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    key = VerifyKey(public)

    def verify(data: bytes, signature: bytes) -> bool:
        try:
            key.verify(data, signature)
        except (BadSignatureError, ValueError):
            return False
        return True

    return verify


def _read(path: Path, kind: str) -> bytes:
    head = PUBLIC_HEAD if kind == "PUBLIC" else PRIVATE_HEAD
    got = ""
    try:
        found = _PEM.search(read_regular(path, MOST_BYTES).decode())
        der = base64.b64decode(found["text"]) if found is not None and found["kind"] == kind else b""
    except OSError as error:
        got = str(error.strerror)
    except (UnicodeDecodeError, binascii.Error):
        got = "damaged text"
    else:
        if der.startswith(head) and len(der) == len(head) + KEY_BYTES:
            return der[len(head) :]
        got = "another kind of file, or of key"
    raise OrderError(
        f"reading the {kind.lower()} key {path}",
        got=got,
        expected=f"an Ed25519 key: -----BEGIN {kind} KEY-----",
        remedy="`cargobox order --key FILE make-key` makes a pair: FILE signs and stays with you, FILE.pub "
        "is for [orders] keys of the boxes.",
    )


def public_pem(key: bytes) -> str:
    """Return the text of a file that holds this public key, of 32 bytes."""
    return _pem("PUBLIC", PUBLIC_HEAD + key)


def _pem(kind: str, der: bytes) -> str:
    text = base64.b64encode(der).decode()
    return f"-----BEGIN {kind} KEY-----\n{text}\n-----END {kind} KEY-----\n"

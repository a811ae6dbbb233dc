"""Passwords, kept as salted scrypt hashes that say how they were made."""

import hashlib
import hmac
import secrets
import threading
import unicodedata
from base64 import b64decode, b64encode

from worker.errors import Refused, TryLater

N, R, P = 2**15, 8, 1
"""Cost: about 32 MiB and a tenth of a second for one hash."""
LENGTH = 32
MAX_MEMORY = 64 * 2**20
SHORTEST, LONGEST = 12, 256
AT_ONCE = 2
PATIENCE = 5.0
_turns = threading.BoundedSemaphore(AT_ONCE)


def check_strength(password: str) -> None:
    """Raises `Refused` for a password that is too short or too long to be taken."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}")


def hashed(password: str) -> str:
    """A fresh hash: `scrypt$n$r$p$salt$key`, salt and key in base64."""
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, N, R, P, LENGTH)
    return _written(salt, key)


def unmatched() -> str:
    """A hash that no password fits and that costs as much to try as any other."""
    return _written(secrets.token_bytes(16), secrets.token_bytes(LENGTH))


def matches(password: str, kept: str) -> bool:
    """True when `kept` was made from this password; takes the same time for every answer."""
    kind, n, r, p, salt, key = kept.split("$")
    if kind != "scrypt":
        raise ValueError(f"a hash of unknown kind: {kind}")
    wanted = b64decode(key)
    return hmac.compare_digest(_scrypt(password, b64decode(salt), int(n), int(r), int(p), len(wanted)), wanted)


def _written(salt: bytes, key: bytes) -> str:
    return "$".join(["scrypt", str(N), str(R), str(P), b64encode(salt).decode(), b64encode(key).decode()])


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    # the same word typed on two keyboards may come as other code points
    raw = unicodedata.normalize("NFKC", password).encode()
    # each takes 32 MiB: many at once would be an attack on memory
    if not _turns.acquire(timeout=PATIENCE):
        raise TryLater("sign-in", "too many passwords are being checked")
    try:
        return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=MAX_MEMORY, dklen=length)
    finally:
        _turns.release()

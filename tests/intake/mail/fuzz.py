"""`python -m tests.intake.mail.fuzz --seconds 60`: the corpus, changed at random, for as long as asked.

Prints how many mails a second and the slowest one. Exits 1 at the first mail that raises, takes more than two seconds of the
processor or comes out unclean, and leaves its bytes in a file.
"""

import argparse
import sys
import time
from pathlib import Path
from random import Random

from tests.intake.mail.mails import TRUSTED, every, faults
from worker.intake.mail.reader import read_mail

SLOWEST = 2.0
LONGEST = 8 * 1024 * 1024
# fmt: off
TRICKS = (
    b"\x00", b"\r", b"\n", b"\r\n", b"\n\n", b"--", b"=", b"=?utf-8?b?", b"?=", b"=?x?q?", b"(", b")", b'"', b"\\", b";",
    b"<", b">", b"@", b":", b"&#x", b"&#9999999999", b"<!--", b"-->", b"<script>", b"<a href='", b"<blockquote>", b"\x1b$B",
    b"\xff\xfe", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\nFrom: x@example.org", b"\nContent-Type: message/rfc822\n\n",
    b"\nContent-Type: text/html\n\n", b"; boundary=a", b"\n--a\n", b"\nContent-Transfer-Encoding: base64",
    b"\nContent-Transfer-Encoding: quoted-printable", b"; charset=utf-16", b"; charset=hz", b"; charset=unicode_escape",
    b"; filename*0*=utf-8''%2e%2e%2f", b"; filename*99=x", b"\nOn 1 Jan 2026 wrote:\n", b"\n> ", b"job id: ",
    b"R-AAAAAAAAAA", b" a@b.cc ",
)
# fmt: on


def mutated(chance: Random, mails: list[bytes]) -> bytes:
    """One mail of the corpus, changed one to six times."""
    mail = chance.choice(mails)
    for _ in range(chance.randint(1, 6)):
        mail = chance.choice(_CHANGES)(chance, mail, mails)
    return mail[:LONGEST]


def _place(chance: Random, mail: bytes) -> int:
    # half of all changes where most is decided: among the headers
    end = len(mail) if chance.random() < 0.5 else min(len(mail), 900)
    return chance.randint(0, end)


def _flip(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    changed = bytearray(mail or b"x")
    for _ in range(chance.randint(1, 20)):
        changed[_place(chance, mail) % len(changed)] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    start = _place(chance, mail)
    return mail[:start] + mail[start + chance.randint(1, 200) :]


def _end(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    return mail[: _place(chance, mail)]


def _splice(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    other = chance.choice(mails)
    return mail[: _place(chance, mail)] + other[_place(chance, other) :]


def _insert(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    at = _place(chance, mail)
    return mail[:at] + chance.choice(TRICKS) + mail[at:]


def _repeat(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    start = _place(chance, mail)
    chunk = mail[start : start + chance.randint(1, 120)]
    return mail[:start] + chunk * chance.choice((2, 10, 100, 5_000)) + mail[start:]


def _headers(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    lines = mail.split(b"\n", 15)
    for _ in range(chance.randint(1, 5)):
        lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return b"\n".join(lines)


def _swap(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    lines = mail.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def _ends(chance: Random, mail: bytes, mails: list[bytes]) -> bytes:
    return mail.replace(b"\r\n", chance.choice((b"\n", b"\r", b"\n\r", b"\r\r\n")))


_CHANGES = (_flip, _cut, _end, _splice, _insert, _insert, _repeat, _headers, _swap, _ends)


def main(seconds: float, seed: int, kept: Path) -> int:
    """Changes and reads mails until the time is over; the exit status."""
    chance, mails = Random(seed), list(every().values())
    count, slowest, began = 0, 0.0, time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        mail = mutated(chance, mails)
        start = time.process_time()
        try:
            wrong = faults(read_mail(mail, trusted=TRUSTED))
        except Exception as error:
            wrong = [repr(error)]
        took = time.process_time() - start
        count, slowest = count + 1, max(slowest, took)
        if wrong or took > SLOWEST:
            kept.write_bytes(mail)
            print(f"mail {count:,} of seed {seed}: {', '.join(wrong) or 'too slow'} ({took * 1000:.0f} ms); it is in {kept}")
            return 1
    speed, worst = count / elapsed, slowest * 1000
    print(f"{count:,} mails in {elapsed:.0f} s, {speed:.0f} a second; the slowest took {worst:.0f} ms (seed {seed})")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kept", type=Path, default=Path("fuzz-found.eml"), help="where the bytes of a mail that fails go")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _arguments()
    sys.exit(main(asked.seconds, asked.seed, asked.kept))

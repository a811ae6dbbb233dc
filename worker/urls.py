"""URLs as settings name them: what is refused before anybody opens one, and how one may be written down."""

import re
from urllib.parse import parse_qsl, urlsplit

from pydantic import BeforeValidator

REDIS = "redis://localhost:6379/0"
_ENCODED = "in a user name or password write / ? # [ ] @ % as %2F, %3F and so on"


def url_of(*schemes: str, example: str, plain: bool = True) -> BeforeValidator:
    """A value that is an address with one of these schemes. `plain`: it has to be readable as URLs are, port and all."""

    def check(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str) or not value.startswith(tuple(f"{scheme}:" for scheme in schemes)):
            raise ValueError(f"expected a URL like {example}")
        if plain and not _is_read(value):
            # whoever opened it would tell the part of the password that it took for a port
            raise ValueError(f"expected a URL like {example}; {_ENCODED}")
        return value

    return BeforeValidator(check)


def _is_read(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.port is None or bool(parts.hostname)
    except ValueError:
        return False


_ANY, _NUMBER = ".+", "[0-9]+"
_REDIS_OPTIONS = {
    "redis": {},
    "rediss": {
        "ssl_cert_reqs": "none|optional|required",
        "ssl_check_hostname": "true|false",
        **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers"), _ANY),
    },
    "unix": {"db": _NUMBER},
}
"""What may stand behind the ? of a Redis address, and the values of each: what redis-py and Celery's kombu understand alike."""


def redis_address(url: str) -> str:
    """Refuses what redis-py or kombu does not understand, or each in its own way: by some addresses we would read the stream and
    no task would ever run. Says nothing of what may be a part of a password.
    """
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(f"expected a URL like {REDIS}; {_ENCODED}")
    socket = parts.scheme == "unix"
    if not url.startswith(f"{parts.scheme}://") or (socket and (parts.hostname or parts.path in {"", "/"})):
        raise ValueError(f"expected a URL like {REDIS} or unix:///run/redis/redis.sock?db=0")
    if not socket and not parts.netloc:
        raise ValueError(f"expected the host, as in {REDIS}")
    if not socket and not re.fullmatch("/?[0-9]*", parts.path):
        raise ValueError(f"expected the number of a database after the host, as in {REDIS}")
    taken, found = _REDIS_OPTIONS[parts.scheme], parse_qsl(parts.query, keep_blank_values=True)
    for name, value in found:
        if name not in taken or [each for each, _ in found].count(name) > 1:
            right = f"takes {', '.join(taken)}, each once" if taken else f"takes none; a database is named as in {REDIS}"
            raise ValueError(f"the option {name} is not understood by all who open it; {parts.scheme}:// {right}")
        if not re.fullmatch(taken[name], value):
            right = {_ANY: "a value", _NUMBER: "a number"}.get(taken[name], taken[name].replace("|", " or "))
            raise ValueError(f"expected {right} for the option {name}")
    return url


def with_our_driver(url: str) -> str:
    """The address of a Postgres as hosts write it, with the driver that we speak to it by."""
    return re.sub(r"^postgres(ql)?:", "postgresql+psycopg:", url)


def redacted(url: str) -> str:
    """The URL without its password, wherever in it that stands: fit for a log line."""
    # up to the last @, for one that the password itself holds
    hidden = re.sub(r"(?<=//)([^:@/]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&](?:ssl_?)?password=)[^&]*", r"\1***", hidden)

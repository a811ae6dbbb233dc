"""A mail address whose domain is written in letters beyond ASCII, and the same as mail hosts write it (`xn--…`)."""

_LONGEST = 254


def as_hosts_write(address: str) -> str:
    """`address` with its domain in ASCII; as it is where that cannot be said for certain."""
    local, at, domain = address.rpartition("@")
    plain = domain.lower()
    if domain.isascii() or len(address) > _LONGEST:
        return address
    try:
        written = plain.encode("idna").decode("ascii")
        # what the codec makes another name of ("ß", full width) would be another's mailbox
        return f"{local}{at}{written}" if written.encode().decode("idna") == plain else address
    except UnicodeError:
        return address


def as_people_write(address: str) -> str:
    """`address` with its domain as people read it; as it is where that has no other letters."""
    local, at, domain = address.rpartition("@")
    if "xn--" not in domain.lower() or len(address) > _LONGEST:
        return address
    try:
        read = f"{local}{at}{domain.encode().decode('idna')}"
    except UnicodeError:
        return address
    return read if as_hosts_write(read) == f"{local}{at}{domain.lower()}" else address

"""What pages say when something is wrong: no page shows a traceback or a secret."""

AWAY = "A service this page needs is away. Nothing was changed; the worker goes on by itself. Try again in half a minute."
_TITLES = {
    400: "That cannot be read",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not that way",
    408: "Too slow",
    409: "Not done",
    413: "Too large",
    415: "Not a form",
    421: "Wrong name",
    429: "Wait a moment",
    503: "Not now",
}
_DETAILS = {
    404: "There is no page of that name.",
    405: "This page does not take that method.",
    500: "This should not have happened. It is in the log; nothing half-done is kept.",
}


def title(status: int) -> str:
    """The heading of the page."""
    return _TITLES.get(status, "Something went wrong")


def detail(status: int) -> str:
    """What to say where nobody said more."""
    return _DETAILS.get(status, "The request could not be answered.")

"""Who a person is, wherever two of them are needed."""


def person(by: str) -> str:
    """A person by one spelling: `Ann` and `ann ` are nobody's second person."""
    return " ".join(by.split()).casefold()

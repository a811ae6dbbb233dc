"""A page read with suspicion: small, well-formed, and holding nothing that a browser would run."""

import re
from html.parser import HTMLParser

from tests.requests.world import PeopleWorld
from tests.web.console.site import Browser

SMALL = 50_000


def case_id(world: PeopleWorld, name: str) -> str:
    found = world.case(name)
    assert found is not None
    return str(found["case_id"])


def page(browser: Browser, path: str, status: int = 200) -> str:
    """The page's text, once it is known to be small, well-formed and harmless."""
    answer = browser.get(path)
    assert answer.status_code == status, answer.text
    assert len(answer.content) < SMALL
    harmless(answer.text)
    return answer.text


class Harmless(HTMLParser):
    """Every element closed in order, none that acts, no attribute that does, and every field with a label."""

    VOID = frozenset({"meta", "link", "input", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labels: set[str] = set()
        self.fields: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), (tag, attrs)
        assert tag not in {"script", "img", "iframe", "object", "style", "svg", "base"}, (tag, attrs)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, attrs)
            assert name != "style", (tag, attrs)
            assert "javascript:" not in (value or ""), (tag, attrs)
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "label":
            self.labels.add(given.get("for") or "")
        if tag in {"input", "select", "textarea"} and given.get("type") != "hidden" and "hidden" not in given:
            self.fields.add(given.get("id") or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def harmless(text: str) -> None:
    """Fails unless the page is well-formed and holds nothing that a browser would run."""
    parser = Harmless()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids), parser.ids
    assert parser.fields <= parser.labels
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]", text)

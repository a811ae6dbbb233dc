"""Pages: templates that escape everything, and the headers every page leaves with."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from worker.web.console import words

HERE = Path(__file__).parent
STYLE = (HERE / "static" / "console.css").read_text(encoding="utf-8")
STYLE_PATH = "/console.css"
STYLE_VERSION = sha256(STYLE.encode()).hexdigest()[:12]
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # browsers then tell our own forms' origin, and nobody else anything
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Pages:
    """The templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=words.shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(words.FILTERS)
        self._templates.globals.update(style=f"{STYLE_PATH}?v={STYLE_VERSION}")

    def page(self, template: str, status: int, now: datetime, /, **values: Any) -> Response:
        """The page, complete with its headers."""
        text = self._templates.get_template(template).render(now=now, **values)
        return HTMLResponse(text, status_code=status, headers=HEADERS)


def style() -> Response:
    """The style sheet: named by its content, so browsers may keep it."""
    return Response(
        STYLE,
        media_type="text/css",
        headers=HEADERS | {"cache-control": "public, max-age=31536000, immutable", "etag": f'"{STYLE_VERSION}"'},
    )

"""The browser that is here."""

import shutil

import pytest
from playwright.sync_api import Browser, Playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: install one to click through pages")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def a_browser(playwright: Playwright) -> Browser:
    """The Chromium of this machine, which has to be there."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)

"""A browser, and a model served to it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdkd.deploy.predict import PRETRAINED
from web_server import Server, photograph, serving


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium as the machine has it; nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "there is no chromium: install the package of that name"
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium runs without its sandbox or not at all.
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(PRETRAINED / "brain_tumor") as started:
        yield started


@pytest.fixture
def page(browser, server, request) -> Iterator:
    """The page in a window of 1200 pixels, or with the options of ``window``; no error in it."""
    options = getattr(request, "param", {"viewport": {"width": 1200, "height": 900}})
    context = browser.new_context(**options)
    opened = context.new_page()
    # Playwright asks for choosers without waiting for Chromium's answer: before the page is there.
    opened.on("filechooser", lambda _: None)
    opened.goto(server.url)
    yield opened
    errors = opened.page_errors()
    blocked = [each.text for each in opened.console_messages() if "Content Security" in each.text]
    context.close()
    assert errors == blocked == []


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Two images and a file that is none."""
    for name, seed in (("first.png", 1), ("second.tiff", 2)):
        photograph(seed=seed).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return [str(tmp_path / name) for name in ("first.png", "second.tiff", "notes.txt")]

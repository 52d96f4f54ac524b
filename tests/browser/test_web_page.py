"""The page of a model in a real browser, as people use it. Pictures go to ``HDKD_PICTURES``."""

import csv
import os
from pathlib import Path

import pytest
import requests

from hdkd.deploy.predict import PRETRAINED
from web_server import encoded, photograph, serving

pytestmark = pytest.mark.browser
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DARK = {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"}


def expect(locator):
    """Playwright's own, which waits, here for slow machines."""
    from playwright import sync_api

    sync_api.expect.set_options(timeout=60_000)
    return sync_api.expect(locator)


def choose(page, files: list[str]) -> None:
    """Choose files, and wait until all are done."""
    page.get_by_label("Drop images here").set_input_files(files)
    expect(page.get_by_role("status")).to_contain_text(f"{len(files)} of {len(files)} images done")


def picture(page, name: str) -> None:
    """Keep what is seen, where somebody wants to look at it."""
    if folder := os.environ.get("HDKD_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def result(page, number: int):
    """What the page shows of the image of this number, from 0."""
    return page.get_by_role("list", name="Results").get_by_role("listitem").nth(number)


def test_it_says_what_the_model_is_and_is_not_for(page):
    expect(page.get_by_role("heading", level=1)).to_have_text("HDKD for Brain Tumor MRI")
    expect(page.get_by_text("Right for 90.8 % of its 1311 test images")).to_be_visible()
    expect(page.get_by_text("without a copy among the training images for 88.9 %")).to_be_visible()
    expect(page.locator("#warning")).to_have_text("Not for clinical use. A research model.")


def test_it_shows_the_answer_of_each_image_in_their_order(page, server, images):
    choose(page, images[:2])
    picture(page, "desktop")
    for number, path in enumerate(images[:2]):
        answer = requests.post(f"{server.url}/api/classify", Path(path).read_bytes()).json()
        shown = result(page, number)
        expect(shown.get_by_role("heading")).to_have_text(Path(path).name)
        expect(shown.locator(".label")).to_have_text(answer["class"])
        share = 100 * answer["probabilities"][answer["class"]]
        expect(shown.locator("dd").first).to_have_text(f"{share:.1f} %")


def test_it_says_that_an_image_is_unlike_what_the_model_was_trained_on(page, images):
    choose(page, images[:1])
    expect(result(page, 0).get_by_text("Unlike anything it was trained on.")).to_be_visible()
    expect(result(page, 0)).to_contain_text("1.3 % of its own test images get this notice")
    expect(page.get_by_role("status")).to_contain_text("1 unlike the training images")


def test_it_shows_images_that_a_browser_cannot(page, images):
    choose(page, images[:2])
    for number, size in enumerate(["480", "96"]):  # the file itself; what is seen of a TIFF
        expect(result(page, number).locator(".picture")).to_have_attribute("width", size)


def test_the_map_lies_over_the_image_and_can_be_put_away(page, images):
    choose(page, images[:1])
    canvas = result(page, 0).locator(".map")
    assert canvas.evaluate("each => [each.width, each.height]") == [12, 12]
    assert canvas.evaluate(
        "each => new Set(each.getContext('2d').getImageData(0, 0, 12, 12).data).size > 9"
    )
    page.get_by_label("Where stage 3 responds").uncheck()
    expect(canvas).to_be_hidden()


def test_a_file_that_is_no_image_stops_no_other(page, images):
    choose(page, [images[2], images[0]])
    picture(page, "error")
    expect(page.get_by_role("status")).to_contain_text("2 of 2 images done, 1 unlike the training")
    expect(page.get_by_role("status")).to_contain_text("1 not judged")
    expect(result(page, 0)).to_contain_text("not an image in one of the formats")
    expect(result(page, 1).locator(".label")).not_to_have_text("Not judged")


def test_a_file_that_is_too_large_is_not_sent(page, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(bytes(33 * 2**20))
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    choose(page, [str(path)])
    expect(result(page, 0)).to_contain_text("larger than the 32 MiB")
    assert sent == []


def test_it_says_that_nothing_was_dropped_that_is_a_file(page):
    page.get_by_role("main").dispatch_event(
        "drop", {"dataTransfer": page.evaluate_handle("() => new DataTransfer()")}
    )
    expect(page.get_by_role("alert")).to_contain_text("Nothing was dropped that is a file")


def test_images_can_be_dropped_anywhere(page):
    content = list(encoded(photograph()))
    transfer = page.evaluate_handle(
        """bytes => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
            return carried;
        }""",
        content,
    )
    page.get_by_role("contentinfo").dispatch_event("drop", {"dataTransfer": transfer})
    expect(result(page, 0).get_by_role("heading")).to_have_text("dropped.png")
    expect(page.get_by_role("status")).to_contain_text("1 of 1 images done")


def test_everything_can_be_done_with_the_keyboard(page, images):
    page.keyboard.press("Tab")
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Enter")
    choosing.value.set_files(images[:1])
    expect(page.get_by_role("status")).to_contain_text("1 of 1 images done")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("Where stage 3 responds")).not_to_be_checked()
    page.keyboard.press("Tab")
    with page.expect_download():
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # clears
    expect(page.get_by_role("listitem")).to_have_count(0)
    expect(page.get_by_label("Drop images here")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Intended use")).to_be_visible()


def test_results_are_saved_as_a_table_that_a_spreadsheet_does_not_compute(page, images, tmp_path):
    formula = tmp_path / "=1+1.png"
    photograph().save(formula)
    choose(page, [images[0], str(formula), images[2]])
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Save as CSV").click()
    assert downloading.value.suggested_filename == "results.csv"
    text = Path(downloading.value.path()).read_text("utf-8-sig")
    first, second, third = csv.DictReader(text.splitlines())
    assert (first["image"], first["unlike_training"], first["error"]) == ("first.png", "true", "")
    shares = {name: float(value) for name, value in first.items() if name.startswith("p_")}
    assert set(shares) == {"p_glioma", "p_meningioma", "p_notumor", "p_pituitary"}
    assert first["class"] == max(shares, key=shares.get).removeprefix("p_")
    assert second["image"] == "'=1+1.png"
    assert third["class"] == ""
    assert third["error"].startswith("not an image in one of the formats")


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_it_fits_a_phone(page, images):
    choose(page, images)
    picture(page, "phone")
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    assert result(page, 0).bounding_box()["width"] <= 390
    for button in page.get_by_role("button").all():
        assert button.bounding_box()["height"] >= 32


@pytest.mark.parametrize("page", [DARK], indirect=True, ids=["dark"])
def test_it_is_dark_where_people_want_it(page, images):
    choose(page, images)
    picture(page, "dark")
    colour = "each => getComputedStyle(each).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(page.locator("body").evaluate(colour)) < 64


@pytest.mark.parametrize("name", ["light", "dark"])
def test_its_text_can_be_read(browser, server, images, name):
    """The contrast of each text to what lies behind it, WCAG 2.2, criterion 1.4.3."""
    context = browser.new_context(color_scheme=name, bypass_csp=True)
    page = context.new_page()
    page.goto(server.url)
    choose(page, images)
    for selector in ("#about", "#warning", "#hint", "#legend", ".label", ".unlike", ".error", "dt"):
        shown = page.locator(selector).locator("visible=true").first
        assert shown.evaluate(CONTRAST) >= 4.5, selector
    context.close()


CONTRAST = """each => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
    let behind = each;
    while (parts(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const both = [getComputedStyle(each).color, getComputedStyle(behind).backgroundColor];
    const [low, high] = both.map((colour) => light(parts(colour))).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""


def test_it_says_that_the_program_is_gone(browser, images):
    with serving(PRETRAINED / "brain_tumor") as started:
        page = browser.new_page()
        page.goto(started.url)
        expect(page.get_by_role("heading", level=1)).to_have_text("HDKD for Brain Tumor MRI")
    started.process.wait()
    choose(page, images[:1])
    expect(result(page, 0)).to_contain_text("The program that shows this page does not answer")
    page.close()

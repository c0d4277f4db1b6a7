"""The pages in headless Chromium, clicked. Needs selenium, Chromium and its driver; skips without them."""

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coresr_eval.protocol import Score
from coresr_eval.report import Chart, Crop, Curve, summary, write_comparison, write_page
from coresr_eval.statistics import compare

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium; pip install selenium")
Make = Callable[..., Any]
SHADES = {"bicubic": 51, "net": 102, "HR": 204}
"""Grey levels of the images below, as shown: the pages are read by their pixels."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium or no chromedriver; apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Any, tmp_path: Path, score: Make) -> Iterator[Any]:
    """At a page of two crops and two charts, on a desktop; it must be left without a complaint or a request."""
    size(chromium, 1280)
    write(tmp_path / "x.html", score)
    chromium.get((tmp_path / "x.html").as_uri())
    yield chromium
    assert chromium.get_log("browser") == []
    assert all(url.startswith(("file:", "data:")) for url in requests(chromium))
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def size(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def requests(browser: Any) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def write(path: Path, score: Make) -> None:
    """Flat images, of `SHADES` in the grey window of HR, which two pixels in its corners widen to 0 … 255."""
    flat = {name: np.full((192, 192), shade / 255) for name, shade in SHADES.items()}
    hr = flat.pop("HR")
    hr[:, :2], hr[:, -2:] = 0, 1
    one = Crop(core="a", slice=1, lr=hr[::2, ::2], hr=hr, images=flat, beyond={"net": flat["net"] / 9})
    other = replace(one, slice=2, images={"bicubic": flat["net"], "net": flat["bicubic"]})
    x = np.linspace(0.01, 0.5, 40)
    curves = tuple(Curve(name=name, x=x, y=1 - i * x, low=x / 2, high=2 - x) for i, name in enumerate(SHADES))
    chart = Chart(title="T", x_label="x", y_label="y", curves=curves, marks=((0.25, "LR Nyquist"),), note="n")
    scores = [score("bicubic", 30.0), score("a-rather-long-name-of-a-network-x2", 31.5)]
    found = summary({"degradation": "bicubic of MATLAB, antialiased", "grey": "uint8 0–255"}, scores)
    write_page(path, title="T", summary=found, crops=[one, other], charts=[chart, chart])


def stage(browser: Any, number: int = 0) -> Any:
    return browser.find_elements("css selector", ".stage")[number]


def shades(browser: Any, number: int = 0) -> list[int]:
    """What is seen of a stage from left to right, at an eighth of its height, where neither handle nor name is."""
    element = stage(browser, number)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    image = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("L"))
    row = image[image.shape[0] // 4]
    return [int(row[round(share * (len(row) - 1))]) for share in (0.1, 0.3, 0.7, 0.9)]


def value(browser: Any, number: int = 0) -> int:
    return int(stage(browser, number).find_element("css selector", "input").get_property("value"))


def pick(browser: Any, side: str, name: str, number: int = 0) -> None:
    """Choose an image of a crop; the list is as `<select>`s show it."""
    box = browser.find_elements("css selector", ".compare")[number]
    choice = box.find_elements("css selector", "select")[("left", "right").index(side)]
    next(one for one in choice.find_elements("css selector", "option") if one.text == name).click()


def test_each_half_of_the_stage_shows_its_image(browser: Any) -> None:
    before, after = SHADES["bicubic"], SHADES["net"]
    assert shades(browser) == [before, before, after, after]
    image = np.asarray(Image.open(io.BytesIO(stage(browser).screenshot_as_png)).convert("L"))
    for at, behind in ((12, before), (-12, after)):
        assert image[14, at] < behind / 2  # names stand on dark plates, above the images
    assert [tag.text for tag in stage(browser).find_elements("css selector", "span")] == ["bicubic", "net"]


def test_the_slider_moves_by_keyboard(browser: Any) -> None:
    handle = stage(browser).find_element("css selector", "input")
    handle.send_keys(*30 * ["\ue012"])  # arrow left
    assert value(browser) == 20
    before, after = SHADES["bicubic"], SHADES["net"]
    assert shades(browser) == [before, after, after, after]
    assert handle.get_attribute("aria-valuetext") == "20 % bicubic, 80 % net"
    handle.send_keys("\ue010")  # end
    assert shades(browser) == [before] * 4
    handle.send_keys("\ue011")  # home
    assert shades(browser) == [after] * 4
    assert value(browser, 1) == 50


def test_the_slider_follows_the_mouse_and_a_click(browser: Any) -> None:
    element = stage(browser, 1)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    width = element.size["width"]
    mouse = webdriver.ActionChains(browser, duration=20)
    mouse.move_to_element(element).click_and_hold().move_by_offset(round(0.3 * width), 10).release().perform()
    assert value(browser, 1) == pytest.approx(80, abs=1)
    before, after = SHADES["net"], SHADES["bicubic"]  # the second crop has them the other way round
    assert shades(browser, 1) == [before, before, before, after]
    mouse.move_to_element_with_offset(element, round(-0.3 * width), 0).click().perform()
    assert value(browser, 1) == pytest.approx(20, abs=1)
    assert shades(browser, 1) == [before, after, after, after]
    assert value(browser, 0) == 50


def test_the_handle_stands_where_the_images_meet(browser: Any) -> None:
    handle = stage(browser).find_element("css selector", "input")
    for key, at in (("\ue011", 0.0), ("\ue010", 1.0)):
        handle.send_keys(key)
        clip = browser.execute_script("return getComputedStyle(document.querySelectorAll('.stage img')[1]).clipPath")
        assert clip == f"inset(0px 0px 0px {100 * at:g}%)"
    handle.send_keys(*30 * ["\ue012"])
    element = stage(browser)
    image = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("L")).astype(int)
    row = image[image.shape[0] // 4]
    assert abs(int(np.flatnonzero(row == 255)[[0, -1]].mean()) - 0.7 * len(row)) < 2


def test_any_two_images_can_be_chosen(browser: Any) -> None:
    for left, right in (("net", "HR"), ("HR", "bicubic"), ("net", "net")):
        pick(browser, "left", left)
        pick(browser, "right", right)
        assert shades(browser) == [SHADES[left]] * 2 + [SHADES[right]] * 2
        assert [tag.text for tag in stage(browser).find_elements("css selector", "span")] == [left, right]
    pick(browser, "left", "LR")
    assert shades(browser)[:2] == [SHADES["HR"]] * 2  # LR is every other pixel of HR
    assert shades(browser, 1) == [SHADES["net"]] * 2 + [SHADES["bicubic"]] * 2
    browser.find_elements("css selector", "select")[1].send_keys("\ue013")  # arrow up: the image before
    assert shades(browser)[2:] == [SHADES["bicubic"]] * 2


def visible(browser: Any) -> set[str]:
    query = "return [...document.querySelectorAll('.panels > *')].filter(e => e.offsetParent).map(e => e.classList[0])"
    return set(browser.execute_script(query))


def test_without_script_and_on_paper_all_panels_stand_side_by_side(browser: Any) -> None:
    assert visible(browser) == {"compare", "maps"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert visible(browser) == {"pictures", "maps"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.refresh()
    assert visible(browser) == {"pictures", "maps"}


def test_the_page_prints(browser: Any) -> None:
    pdf = base64.b64decode(
        browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") <= 4


def test_nothing_is_wider_than_the_screen(browser: Any, tmp_path: Path) -> None:
    images = [(core, number) for core in "ab" for number in range(3)]
    noise = np.random.default_rng(0).normal(30, 1, (3, 6))
    models = {"bicubic": noise[:1], "a-rather-long-name-of-a-network-x2": noise[1:2], "b": noise[2:]}
    path = tmp_path / "y.html"
    write_comparison(path, compare(models, images), title="T", protocol={"grey": "uint8"})
    for page in ("x.html", "y.html"):
        browser.get((tmp_path / page).as_uri())
        for width in (320, 390, 768, 1280):
            size(browser, width)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            high = "const {width, height} = text.getBoundingClientRect(); return Math.max(width, height);"
            query = f"return [...document.querySelectorAll('svg text')].map(text => {{ {high} }})"
            labels = browser.execute_script(query)
            assert min(labels) > (7 if width == 320 else 9)


def test_on_a_phone_the_stage_fills_the_screen_and_the_maps_stand_below(browser: Any) -> None:
    size(browser, 390)
    assert stage(browser).size["width"] == 390 - 2 * 16
    maps = browser.find_elements("css selector", ".crop:first-of-type .maps img")
    assert all(one.rect["y"] > stage(browser).rect["y"] + 358 for one in maps)
    assert all(one.rect["width"] > 170 for one in maps)


def test_the_maps_of_many_models_stand_below_the_stage_each_under_its_own(browser: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((4, 64, 64))
    images = {"bicubic": noise[0]} | {f"a-rather-long-name-of-network-{i}": noise[i % 4] for i in range(1, 7)}
    beyond = {name: noise[3] / 9 for name in images if name != "bicubic"}
    crop = Crop(core="a", slice=1, lr=noise[1][::2, ::2], hr=noise[1], images=images, beyond=beyond)
    scores = [Score(model=name, core="a", slice=1, psnr=30.0 + i, ssim=0.9) for i, name in enumerate(images)]
    write_page(tmp_path / "y.html", title="T", summary=summary({"grey": "uint8"}, scores), crops=[crop])
    browser.get((tmp_path / "y.html").as_uri())
    for width in (320, 768, 1280):
        size(browser, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    maps = browser.find_elements("css selector", ".maps figure")
    assert len(maps) == 7 + 6
    assert [one.rect["x"] for one in maps[1:7]] == [one.rect["x"] for one in maps[7:]]
    assert maps[0].rect["y"] > stage(browser).rect["y"] + stage(browser).rect["height"]
    assert maps[6].rect["y"] == maps[0].rect["y"] < maps[7].rect["y"]


def brightness(browser: Any) -> tuple[float, list[float]]:
    """Of the page and of all that is written on it, charts included, from 0 to 255."""
    query = """
        const written = [...document.querySelectorAll('svg text')].map(text => getComputedStyle(text).fill);
        const style = getComputedStyle(document.body);
        return [style.backgroundColor, style.color, ...written];
    """
    page, *written = [sum(map(int, colour[4:-1].split(","))) / 3 for colour in browser.execute_script(query)]
    return page, written


def test_the_dark_page_is_dark_and_its_charts_legible(browser: Any) -> None:
    page, written = brightness(browser)
    assert page > 240
    assert max(written) < 130
    dark_scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark_scheme)
    page, written = brightness(browser)
    assert page < 40
    assert min(written) > 130


def test_a_script_that_was_tampered_with_does_not_run(chromium: Any, tmp_path: Path, score: Make) -> None:
    write(tmp_path / "x.html", score)
    text = (tmp_path / "x.html").read_text()
    (tmp_path / "y.html").write_text(text.replace('"use strict";', '"use strict"; document.title = "owned";'))
    chromium.get((tmp_path / "y.html").as_uri())
    assert chromium.title == "T"
    assert visible(chromium) == {"pictures", "maps"}
    (refusal,) = chromium.get_log("browser")
    assert "Content Security Policy" in refusal["message"]

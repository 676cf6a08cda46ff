"""The page on which a person draws a digit, in the console of a real endpoint with a really trained model."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amlocal.client import LocalMLClient
from amlocal.down import down
from amlocal.operations.common import entity
from digits.data import images, sets
from digits.network import fit, model, package

SOURCE = Path(__file__).parents[2] / "src"

# Strokes through points in percent of the slate, x to the right and y down.
GLYPHS = {
    0: "50,15 32,22 25,50 33,78 50,85 68,77 75,50 67,22 50,15",
    1: "58,12 44,88",
    2: "28,32 36,18 55,14 70,26 66,44 44,66 26,84 74,84",
    3: "30,20 52,14 68,26 62,42 46,48 66,56 70,72 52,86 28,78",
    4: "34,16 28,48 66,46 | 68,18 60,88",
    5: "74,14 40,18 36,44 56,46 68,62 58,80 40,86 26,78",
    6: "62,14 42,34 31,60 38,80 54,85 67,74 62,58 46,56 33,66",
    7: "26,18 74,18 58,46 44,86",
    8: "52,48 34,36 36,20 52,14 68,22 64,38 48,50 32,64 36,82 52,87 68,80 68,64 52,48",
    9: "68,30 52,14 34,24 34,42 50,50 66,40 68,28 66,60 60,86",
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, chromium_path: str) -> Iterator[dict[str, str]]:
    """Blue reads digits; green is the same network, having learned to call each of them by the next one's name."""
    folder = tmp_path_factory.mktemp("drawn")
    schedule = dataclasses.replace(fit.SCHEDULES["small"], epochs=4)
    network = fit.fit(model.build("default"), schedule, sets.embedded("mnist", "train"))
    for name in ("blue", "green"):
        (folder / name).mkdir()
        (folder / name / "model.tflite").write_bytes(package.convert(network))
        last = next(layer for layer in reversed(network.layers) if layer.get_weights())
        last.set_weights([np.roll(weights, 1, axis=-1) for weights in last.get_weights()])
    client = LocalMLClient(folder / ".amlocal")
    try:
        tags = {"console": "pages/draw.html"}
        client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "digits", "auth_mode": "key", "tags": tags})
        )
        for name in ("blue", "green"):
            deployment = {
                "name": name,
                "endpoint_name": "digits",
                "model": {"path": str(folder / name), "type": "custom_model"},
                "code_configuration": {"code": str(SOURCE), "scoring_script": "digits/serving/score.py"},
                "environment": {"image": "python:3.11"},
                "instance_type": "Standard_D2as_v4",
                "instance_count": 1,
                "request_settings": {"max_concurrent_requests_per_instance": 8},
            }
            client.online_deployments.begin_create_or_update(entity("online-deployment", deployment))
        record = client.online_endpoints.store.get("digits")
        yield {"address": record.address, "key": client.online_endpoints.credentials("digits")["primaryKey"]}
    finally:
        down(client.workspace)


class Drawing:
    """The page, opened."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.page = tab.frame_locator("iframe")
        self.slate = self.page.locator("#slate")
        self.verdict = self.page.locator("#verdict")
        self.page.locator(".answer").first.wait_for()

    def draw(self, digit: int, press: Any = None, move: Any = None, lift: Any = None) -> None:
        box = self.slate.bounding_box()
        mouse = self.tab.mouse
        press, move, lift = press or mouse.down, move or (lambda x, y: mouse.move(x, y, steps=4)), lift or mouse.up
        for stroke in GLYPHS[digit].split("|"):
            for i, point in enumerate(stroke.split()):
                x, y = (float(part) / 100 for part in point.split(","))
                move(box["x"] + x * box["width"], box["y"] + y * box["height"])
                if i == 0:
                    press()
            lift()

    def reads(self, blue: int) -> None:
        """Waits until blue reads this, and green what it takes it for."""
        said = f"They disagree: blue reads {blue}, green reads {(blue + 1) % 10}."
        self.page.locator("#spoken", has_text=said).wait_for(timeout=10_000)  # once the digit is finished


@pytest.fixture(params=[1280])
def drawing(endpoint: dict[str, str], chromium: Any, request: pytest.FixtureRequest) -> Iterator[Drawing]:
    context = chromium.new_context(viewport={"width": request.param, "height": 800}, has_touch=True)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"{endpoint['address']}/console")
    tab.fill("#key", endpoint["key"])
    tab.keyboard.press("Enter")
    yield Drawing(tab)
    context.close()
    assert complaints == []


@pytest.mark.browser
def test_digits_drawn_with_the_mouse_are_recognised(drawing: Drawing) -> None:
    for digit in range(10):
        drawing.draw(digit)
        drawing.reads(digit)
        cards = drawing.page.locator(".answer")
        assert cards.locator("h2").all_inner_texts() == ["blue", "green"]
        assert cards.locator(".share").all_inner_texts() == ["0\xa0% of the traffic"] * 2
        assert cards.locator(".digit").all_inner_texts() == [str(digit), str((digit + 1) % 10)]
        assert drawing.page.locator(".disagree").count() == 1 and "differ" in drawing.verdict.get_attribute("class")
        rows = drawing.page.locator("#bars li")
        told = [float(text.strip("> %\xa0")) for text in rows.locator(".bar > :last-child").all_inner_texts()]
        assert len(told) == 20 and abs(sum(told[::2]) - 100) < 1 and abs(sum(told[1::2]) - 100) < 1
        assert max(range(10), key=lambda row: told[2 * row]) == digit
        drawing.page.locator("#clear").click()
        drawing.page.locator("#spoken", has_text="Draw, and it is read").wait_for()


@pytest.mark.browser
def test_no_probability_is_told_as_certain(drawing: Drawing) -> None:
    told = drawing.tab.frames[1].evaluate("[0, 0.5, 0.9994, 0.9996, 0.99997, 0.999996, 1].map(percent)")
    shown = ["0.0 %", "50.0 %", "99.9 %", "99.96 %", "99.997 %", "> 99.999 %", "> 99.999 %"]
    assert [text.replace("\xa0", " ") for text in told] == shown


@pytest.mark.browser
def test_the_model_sees_what_the_one_preprocessing_makes_of_it(drawing: Drawing) -> None:
    """Large as in MNIST, in the middle as in MNIST, and reduced as digits.data.images.standardise reduces a picture."""
    drawing.draw(5)
    drawing.reads(5)
    large, small, seen = drawing.tab.frames[1].evaluate(
        "() => { const large = centred(), context = by('seen').getContext('2d');"
        " return [[...large], [...reduce(large)], [...context.getImageData(0, 0, 28, 28).data]] }"
    )
    picture = np.array(large, np.uint8).reshape(280, 280)
    mine = np.array(small).reshape(28, 28)
    assert (np.array(seen).reshape(28, 28, 4)[..., 0] == mine).all()
    assert abs(images.standardise(picture).astype(int) - mine).max() <= 1
    y, x = np.mgrid[:28, :28]
    assert abs(np.array([(mine * axis).sum() / mine.sum() for axis in (x, y)]) - 14).max() < 0.3
    inked = np.argwhere(picture > 127)
    assert abs((np.ptp(inked, axis=0) + 1).max() - 200) <= 3, "the 20 x 20 box"


@pytest.mark.browser
def test_a_small_digit_in_a_corner_is_seen_like_a_large_one(drawing: Drawing) -> None:
    box = drawing.slate.bounding_box()
    for i, (x, y) in enumerate([(5, 5), (25, 5), (18, 16), (12, 36)]):
        drawing.tab.mouse.move(box["x"] + x / 100 * box["width"], box["y"] + y / 100 * box["height"], steps=4)
        if i == 0:
            drawing.tab.mouse.down()
    drawing.tab.mouse.up()
    drawing.reads(7)


@pytest.mark.browser
def test_a_digit_is_drawn_with_the_keyboard_alone(drawing: Drawing) -> None:
    tab = drawing.tab
    for _ in range(12):
        tab.keyboard.press("Tab")
        if tab.frames[1].evaluate("document.activeElement.id") == "slate":
            break
    for key in ["ArrowLeft"] * 5 + [" "] + ["ArrowRight"] * 10:
        tab.keyboard.press(key)
    tab.keyboard.down("ArrowLeft")  # held beside the other: aslant
    for _ in range(7):
        tab.keyboard.press("ArrowDown")
    tab.keyboard.up("ArrowLeft")
    for _ in range(8):
        tab.keyboard.press("ArrowDown")
    assert drawing.page.locator("#pen").inner_text() == "Pen down"
    tab.keyboard.press(" ")
    assert drawing.page.locator("#pen").inner_text() == "Pen up"
    drawing.reads(7)
    tab.keyboard.press("Backspace")
    drawing.page.locator("#spoken", has_text="Draw, and it is read").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("asked", "colours"),
    [
        (["blue", "green"], [0, 1]),
        (["green", "blue"], [1, 0]),
        (["green", "v2"], [1, 0]),
        (["v1", "v2", "v3"], [0, 1, 2]),
        (["v1", "blue", "v2", "green"], [2, 0, 3, 1]),
    ],
)
def test_no_two_deployments_have_the_same_colour(drawing: Drawing, asked: list[str], colours: list[int]) -> None:
    assert drawing.tab.frames[1].evaluate("names => coloured(names)", asked) == colours


@pytest.mark.browser
def test_strokes_are_taken_back_one_by_one(drawing: Drawing) -> None:
    drawing.draw(4)
    drawing.reads(4)
    drawing.tab.keyboard.press("Control+Z")
    assert drawing.tab.frames[1].evaluate("strokes.length") == 1
    drawing.page.locator("#undo").click()
    assert drawing.page.locator("#undo").is_disabled() and drawing.page.locator("#clear").is_disabled()


@pytest.mark.browser
def test_a_finger_draws_and_does_not_scroll(drawing: Drawing) -> None:
    cdp = drawing.tab.context.new_cdp_session(drawing.tab)
    at: dict[str, float] = {}

    def send(kind: str) -> None:
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else [at]})

    def move(x: float, y: float) -> None:
        down = bool(at)
        at.update(x=x, y=y)
        if down:
            send("touchMove")

    def lift() -> None:
        send("touchEnd")
        at.clear()

    drawing.draw(3, press=lambda: send("touchStart"), move=move, lift=lift)
    drawing.reads(3)


@pytest.mark.browser
@pytest.mark.parametrize("drawing", [320], indirect=True)
def test_on_a_narrow_screen_nothing_is_cut_off(drawing: Drawing) -> None:
    drawing.draw(2)
    drawing.reads(2)
    for frame in drawing.tab.frames:
        assert frame.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.browser
def test_what_it_asked_can_be_looked_at_as_json(drawing: Drawing) -> None:
    drawing.draw(6)
    drawing.reads(6)
    drawing.tab.click("#tab-test")
    (pixels,) = json.loads(drawing.tab.input_value("#json"))["input_data"]
    assert len(pixels) == 784 and max(pixels) == 255

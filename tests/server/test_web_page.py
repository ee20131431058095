"""The page in a browser: Chromium, driven against a server of small runs."""

import asyncio
import re
import shutil
import threading
from pathlib import Path

import pytest
from tests.conftest import RHYMES, SMALL, listening

import rondeau
from rondeau.server.guard import Access

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = playwright.expect
expect.set_options(timeout=20_000)

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;"
ROOM = Path(rondeau.__file__).parent


@pytest.fixture(scope="module")
def endless(tmp_path_factory, rhymes):
    """A run on one long text, so that its model never ends what it writes."""
    out = tmp_path_factory.mktemp("runs") / "endless"
    config = rondeau.TrainConfig(**SMALL, split="tail", steps=40)
    rondeau.train(rhymes, config, out=out).finish()
    return out


@pytest.fixture(scope="module")
def models(endless, cloze_run, run):
    return [rondeau.load(path) for path in (endless, cloze_run, run)]


@pytest.fixture(scope="module")
def address(models):
    with listening(*models) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    # Of the module: while it is open this thread has an event loop.
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def faults():
    """What the browser's console complained of, and requests to other hosts; none at the end."""
    found = []
    yield found
    assert found == []


@pytest.fixture
def page(browser, faults):
    context = browser.new_context(locale="en-GB", permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: said.type in ("error", "warning") and faults.append(said.text))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    own = re.compile(r"(http://127\.0\.0\.1:\d+/|blob:http://127\.0\.0\.1:\d+/)")
    page.on("request", lambda asked: own.match(asked.url) or faults.append(asked.url))
    yield page
    context.close()


@pytest.fixture
def held(monkeypatch):
    """Texts being written stop after some parts, until this event is set."""
    from rondeau.server import sessions

    go_on = threading.Event()
    events = sessions._Continuing.events

    async def slow(self):
        parts = 0
        async for part in events(self):
            yield part
            parts += 1
            while parts > 4 and not go_on.is_set():
                await asyncio.sleep(0.01)

    monkeypatch.setattr(sessions._Continuing, "events", slow)
    yield go_on
    go_on.set()


def visit(page, address):
    page.goto(address)
    expect(page.get_by_role("combobox", name="Model")).to_be_enabled()
    return page.get_by_role("textbox", name="Text")


def write(page, text, begin="猫白大", length=20):
    """Begin a text and have it written on; returns the whole."""
    text.fill(begin)
    page.get_by_label("Characters").fill(str(length))
    page.get_by_role("button", name="Write on").click()
    expect(page.get_by_role("status")).to_contain_text("Seed")
    return text.input_value()


def look_at(page, place):
    """Click on a character."""
    box = page.locator("#shaded span").nth(place).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return page.get_by_role("dialog")


def test_a_beginning_is_written_on_and_shaded_by_surprisal(page, address, models):
    text = visit(page, address)
    whole = write(page, text)
    assert whole.startswith("猫白大")
    assert len(whole) == 23
    scored = models[0].score(whole).characters[:23]
    shades = page.locator("#shaded span").evaluate_all("all => all.map(one => one.className)")
    levels = [int(name.removeprefix("shade-") or 0) for name in shades]
    assert levels == [min(7, int(one.bits // 2)) for one in scored]
    expect(page.locator("#strip")).to_have_attribute("aria-label", re.compile(r"r .*z .*n "))


def test_a_text_appears_while_it_is_written_and_stays_where_it_is_stopped(page, address, held):
    text = visit(page, address)
    text.fill("猫")
    page.get_by_label("Characters").fill("500")
    page.get_by_role("button", name="Write on").click()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    expect(text).to_have_value(re.compile("猫.{2}", re.DOTALL))
    stop.click()
    expect(page.get_by_role("status")).to_contain_text("Stopped.")
    stopped = text.input_value()
    held.set()
    write(page, text, stopped, 4)
    assert text.input_value().startswith(stopped)
    assert len(text.input_value()) == len(stopped) + 4


def test_a_seed_gives_the_same_text_again_after_an_undo(page, address, models):
    text = visit(page, address)
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Seed", exact=True).blur()
    expect(page.get_by_label("a new seed each time")).not_to_be_checked()
    first = write(page, text)
    page.get_by_role("button", name="Undo").click()
    expect(text).to_have_value("猫白大")
    assert write(page, text) == first
    decoding = rondeau.DecodingConfig(temperature=0.8)
    (sample,) = models[0].generate("猫白大", length=20, decoding=decoding, seed=7)
    assert "猫白大" + sample.text == first


def test_typed_text_is_read_and_another_character_begins_a_branch(page, address):
    text = visit(page, address)
    text.fill("猫白大来了")
    expect(page.locator("#strip")).to_be_visible()
    page.get_by_label("Characters").fill("5")
    others = None

    def opened():
        nonlocal others
        others = look_at(page, 3)
        return others.is_visible()

    until(page, opened)
    expect(others).to_contain_text("Instead of “来”")
    other = others.locator("button:not([aria-current]):not(:has(.named))").first
    character = other.locator(".character").text_content()
    other.click()
    expect(page.get_by_role("status")).to_contain_text("Seed")
    assert text.input_value().startswith("猫白大" + character)
    assert len(text.input_value()) == 9
    page.keyboard.press("Control+z")
    expect(text).to_have_value("猫白大来了")


def until(page, found):
    """Ask again, as the page goes on, until something holds."""
    for _ in range(200):
        if found():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came")


def test_alternatives_are_reached_and_left_by_the_keyboard(page, address):
    text = visit(page, address)
    write(page, text)
    text.focus()
    page.keyboard.press("Alt+ArrowDown")
    buttons = page.get_by_role("dialog").get_by_role("button")
    expect(buttons.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(text).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_of_three_ways_one_is_kept_and_can_be_undone(page, address):
    text = visit(page, address)
    text.fill("猫白大")
    page.get_by_label("Characters").fill("12")
    page.get_by_role("button", name="Three ways").click()
    cards = page.get_by_role("article")
    expect(cards).to_have_count(3)
    expect(page.get_by_role("button", name="Write on")).to_be_enabled()
    ways = [card.locator(".card-text").text_content().rstrip("\u200b") for card in cards.all()]
    assert [len(way) for way in ways] == [12, 12, 12]
    cards.nth(1).get_by_role("button", name="Keep this").click()
    expect(text).to_have_value("猫白大" + ways[1])
    expect(cards).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(text).to_have_value("猫白大")


def test_a_cloze_model_fills_gaps_and_says_why_it_does_not_write(page, address):
    text = visit(page, address)
    page.get_by_role("combobox", name="Model").select_option("cloze")
    expect(page.get_by_text("it can't write on; it fills gaps")).to_be_visible()
    expect(page.get_by_role("button", name="Write on")).to_have_count(0)
    text.fill("猫白大＿了\n大＿猫走了")
    page.get_by_role("button", name="Fill the gaps").click()
    card = page.get_by_role("article").first
    expect(card).to_contain_text("猫白大来了")
    card.get_by_role("button", name="Keep this").click()
    expect(text).to_have_value(re.compile("猫白大来了\n大.猫走了"))
    page.get_by_role("combobox", name="Model").select_option("endless")
    expect(page.get_by_role("button", name="Write on")).to_be_enabled()
    expect(text).to_have_value(re.compile("猫白大来了\n大.猫走了"))


def test_the_end_of_a_document_is_said(page, address):
    text = visit(page, address)
    page.get_by_role("combobox", name="Model").select_option("run")
    page.get_by_label("Temperature").fill("1")
    page.get_by_label("Seed", exact=True).fill("1")
    page.get_by_label("Seed", exact=True).blur()
    text.fill("猫白大来了\n大白猫走了")
    page.get_by_label("Characters").fill("2000")
    page.get_by_role("button", name="Write on").click()
    expect(page.get_by_role("status")).to_contain_text("Here the model ended the text.")


def test_copied_spans_are_marked_where_that_is_asked_for(page, address, models):
    trained_on = next(rhyme for rhyme in RHYMES if models[2].novelty(rhyme).spans)
    text = visit(page, address)
    page.get_by_role("combobox", name="Model").select_option("run")
    text.fill(trained_on)
    page.get_by_label("mark what is copied").check()
    expect(page.locator("#shaded .copied").first).to_be_attached()
    page.get_by_label("mark what is copied").uncheck()
    expect(page.locator("#shaded .copied")).to_have_count(0)


def test_the_language_is_the_browsers_until_it_is_chosen_and_then_remembered(page, address):
    visit(page, address)
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("button", name="三种续写")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.reload()
    expect(page.get_by_role("button", name="三种续写")).to_be_visible()


def test_both_languages_say_the_same_things(page, address):
    visit(page, address)
    words = page.evaluate("import('/words.js').then(({ WORDS }) => WORDS)")

    def said(language):
        return {name: set(re.findall(r"{\w+}", text)) for name, text in words[language].items()}

    assert said("en") == said("zh")


def test_the_numbers_of_a_run_and_its_report_are_a_click_away(page, address):
    visit(page, address)
    page.get_by_role("combobox", name="Model").select_option("run")
    page.get_by_role("button", name="About this model").click()
    card = page.get_by_role("dialog", name="run")
    expect(card.get_by_role("row", name="validation")).to_be_visible()
    report = card.get_by_role("link").get_attribute("href")
    assert page.request.get(address + report).ok
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="About this model")).to_be_focused()


def test_a_text_is_copied_and_saved_as_a_picture(page, address):
    text = visit(page, address)
    whole = write(page, text)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_contain_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == whole
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_hostile_text_is_text(page, address):
    text = visit(page, address)
    whole = write(page, text, HOSTILE, 3)
    assert whole.startswith(HOSTILE)
    assert page.locator("#shaded").text_content().startswith(HOSTILE)
    assert page.locator("#shaded img, #shaded script").count() == 0
    page.get_by_role("button", name="Three ways").click()
    expect(page.get_by_role("article")).to_have_count(3)


def test_characters_outside_the_first_plane_are_one_each(page, address):
    text = visit(page, address)
    assert len(write(page, text, "猫😀\r\ne\u0301白", 4)) == len("猫😀\né白") + 4
    expect(look_at(page, 4)).to_contain_text("Instead of “白”")


def test_the_field_lies_on_its_shades(page, address):
    page.set_viewport_size({"width": 390, "height": 1200})
    text = visit(page, address)
    page.get_by_role("combobox", name="Model").select_option("cloze")  # Nothing opens at a click.
    said = (
        "AVATAR To fly, office fiancé — “WAVE” "
        + "long" * 12
        + "  end\n"
        + "月亮，挂在（旧屋檐）。" * 4
    )
    text.fill(said)
    boxes = page.locator("#shaded span").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().toJSON())"
    )
    places = [at for at in range(1, len(said), 7) if not said[at].isspace()]
    found = []
    for at in places:
        box = boxes[at]
        page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        found.append(text.evaluate("field => field.selectionStart"))
    assert found == places


def test_a_server_that_stops_is_told_and_found_again_with_the_text_kept(page, faults, models):
    with listening(models[0]) as (address, _):
        text = visit(page, address)
        whole = write(page, text)
    page.get_by_role("button", name="Write on").click()
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("The server doesn't answer")
    expect(text).to_have_value(whole)
    with listening(models[0], port=int(address.rpartition(":")[2])):
        expect(page.get_by_role("status")).to_contain_text("The server is back.")
        expect(banner).to_have_count(0)
        assert write(page, text, whole + "猫", 6).startswith(whole + "猫")
    # The session that the new server doesn't know is the 404.
    assert all("ERR_CONNECTION_REFUSED" in fault or "404" in fault for fault in faults)
    faults.clear()


def test_a_lost_session_is_made_anew_from_the_text(page, faults, models):
    with listening(models[0]) as (address, application):
        text = visit(page, address)
        whole = write(page, text)
        application.context.sessions._sessions.clear()
        page.get_by_role("button", name="Write on").click()
        expect(text).to_have_value(re.compile(f"{re.escape(whole)}.{{20}}", re.DOTALL))
        expect(page.get_by_role("alert")).to_have_count(0)
    assert all("404" in fault for fault in faults)
    faults.clear()


def test_a_key_is_asked_for_where_the_server_wants_one(page, faults, models):
    with listening(models[0], access=Access(api_key="open sesame")) as (address, _):
        page.goto(address)
        field = page.get_by_label("This server asks for an API key.")
        field.fill("wrong")
        field.press("Enter")
        field = page.get_by_label("That key isn't the one.")
        field.fill("open sesame")
        field.press("Enter")
        write(page, page.get_by_role("textbox", name="Text"))
        page.reload()
        expect(page.get_by_role("combobox", name="Model")).to_be_enabled()
        page.goto("about:blank")  # which asks a server that is going for nothing more
    assert all("401" in fault for fault in faults)
    faults.clear()


def test_a_session_that_is_full_is_said_in_words(page, faults, models):
    with listening(models[0], session_length=10) as (address, _):
        text = visit(page, address)
        text.fill("猫白大")
        page.get_by_role("button", name="Write on").click()
        expect(page.get_by_role("alert")).to_contain_text("the length that this server keeps")
        expect(text).to_have_value("猫白大")
        page.goto("about:blank")
    assert all("409" in fault for fault in faults)
    faults.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_keeps_anybody_out(page, address, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check():
        found = axe.run(page).response["violations"]
        bad = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in bad] == []
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width

    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    text = visit(page, address)
    if width < 900:
        page.get_by_text("Settings").click()
    write(page, text)
    check()
    look_at(page, 2)
    expect(page.get_by_role("dialog")).to_be_visible()
    check()
    page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="三种续写").click()
    expect(page.get_by_role("article")).to_have_count(3)
    expect(page.get_by_role("button", name="续写", exact=True)).to_be_enabled()
    check()
    page.get_by_role("button", name="模型信息").click()
    check()


def test_the_page_has_the_colours_of_the_report():
    def colours(path):
        return re.findall(r"--([a-z]+): ([^;]+);", (ROOM / path).read_text("utf-8"))

    own = [(name, value) for name, value in colours("server/page/style.css") if name != "edge"]
    report = [(name, value) for name, value in colours("report/style.css") if name != "mono"]
    assert own == report[: len(own)]
    assert len(own) > 16

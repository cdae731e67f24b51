"""The report of a run, in a real browser."""

import shutil

import pytest

from bandsaw._report import trace
from bandsaw._report.page import _figures as figures_of

pytest.importorskip("bokeh", reason="reports are made with bokeh, in the extra 'report'")

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.recording import Recorder

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(CachingAdvice(".cache"))
    .add_extension(Recorder("calls.sqlite"))
)
"""
WORKFLOW = """
import bandsaw

@bandsaw.task
def work(text):
    if text == "fails":
        raise ValueError("<img src=x onerror=alert(1)>")
    return text

@bandsaw.task
def collect(*texts):
    return texts

if __name__ == "__main__":
    texts = [work.submit(text) for text in ("<script>alert(1)</script>", "a", "a", "</pre>")]
    collect.submit(*texts).result()
    try:
        work("fails")
    except ValueError:
        pass
"""


@pytest.fixture
def report(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW)
    project.run("workflow.py")
    project.run("-m", "bandsaw", "runs", "report", "-o", "report.html")
    return project.folder / "report.html"


def test_names_and_values_are_shown_as_text(report):
    text = report.read_text()
    assert "<img src=x" not in text and "&lt;img src=x" in text
    assert "<script>alert(1)" not in text


@pytest.fixture
def page(report):
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright here")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 900})
        page.errors, page.requests = [], []
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and page.errors.append(said.text),
        )
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_selector(".slick-row")
        yield page
        browser.close()


def test_a_browser_shows_filters_and_asks_nobody(page, report):
    assert page.errors == []
    outside = [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert page.locator("h1").inner_text() == "workflow.py"
    assert page.locator(".slick-row").count() == 6
    page.locator("input.bk-input").fill("collect")
    rows = page.locator(".slick-row")
    rows.nth(1).wait_for(state="detached")
    assert rows.count() == 1 and "workflow.collect" in rows.first.inner_text()
    page.locator("summary").first.click()
    assert "ValueError: <img src=x onerror=alert(1)>" in page.locator("pre").first.inner_text()
    # Nothing is wider than the screen of a telephone, and columns can be read there.
    assert page.locator(".slick-header-column").first.bounding_box()["width"] > 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_mouse_over_the_timeline_shows_what_is_known_of_a_call(page):
    page.set_viewport_size({"width": 1200, "height": 900})
    box = page.locator(".bk-Figure").first.bounding_box()
    told = page.locator(".bk-tooltip-content")
    for down in range(10, int(box["height"]), 6):
        for right in range(60, int(box["width"]), 10):
            page.mouse.move(box["x"] + right, box["y"] + down)
            if told.count():
                text = told.first.inner_text()
                assert "workflow." in text and "state:" in text and "where:" in text
                return
    pytest.fail("nothing was shown")


def test_keys_reach_a_failure_and_the_filter(page):
    def tab_to(name):
        for _ in range(40):
            page.keyboard.press("Tab")
            found = page.evaluate(
                """() => {
                    let node = document.activeElement;
                    while (node && node.shadowRoot && node.shadowRoot.activeElement)
                        node = node.shadowRoot.activeElement;
                    return node ? node.tagName : "";
                }"""
            )
            if found == name:
                return
        pytest.fail(f"no {name} was reached")

    tab_to("SUMMARY")
    assert not page.locator("pre").first.is_visible()
    page.keyboard.press("Enter")
    assert page.locator("pre").first.is_visible()
    tab_to("INPUT")
    page.keyboard.type("collect")
    page.keyboard.press("Enter")
    page.locator(".slick-row").nth(1).wait_for(state="detached")
    assert page.locator(".slick-row").count() == 1


def test_all_of_it_is_printed(page):
    assert not page.locator("pre").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("pre").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_calls_count_as_failed_as_in_the_commands():
    calls = [
        {"task": "work", "state": state, "error": "builtins.ValueError", "seconds": 1.0}
        for state in ("failed", "interrupted", "not begun")
    ]
    assert ("failed", "1") in figures_of({"seconds": 3.0}, calls)


def test_calls_that_overlap_have_rows_of_their_own():
    def call(begun, ended, pid):
        return {"begun": begun, "ended": ended, "pid": pid, "host": "here"}

    calls = [call(0, 2, 1), call(1, 3, 2), call(2, 4, 1), call(3.5, 4, 3)]
    found = [(row, [c["pid"] for c in placed]) for _, row, placed in trace.rows_of(calls)]
    assert found == [(1, [1, 1]), (2, [2, 3])]


def test_tasks_that_wait_for_each_other_stand_beside_the_others():
    from bandsaw._report.charts import _graph as graph_of

    same = {"state": "done", "seconds": 1.0, "cpu": 0.0, "memory": 0, "parent": None}
    needs = {"a": ["b"], "b": ["a"], "c": [], "d": [], "e": []}
    calls = [{"key": task, "task": task, "needs": needs[task], **same} for task in needs]
    drawn = graph_of(calls, dict.fromkeys(needs, "red"))
    assert sorted(drawn.renderers[-1].data_source.data["x"]) == [0, 0, 0, 1, 1]

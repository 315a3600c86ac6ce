"""The page in a headless Chromium; skipped where there is none (Debian: `apt-get install chromium`)."""

import re
from pathlib import Path

import pytest

from benchmark.reporting.figures import Saved, comparison
from benchmark.reporting.figures.drawing import Drawing
from benchmark.reporting.page import write_page
from benchmark.reporting.results import Results
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import METRICS, all_records, altered, make_record, write_run

WIDTHS, THEMES = (390, 1440), ("light", "dark")

CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")


def check(page, name):
    """The faults that a function of `page_checks.js` finds."""
    return page.evaluate(f"() => {{ {CHECKS}\nreturn {name}(); }}")


def long_records():
    """Words of awkward lengths, beside enough baselines that not all curves show at first."""
    records = [record for record in all_records() if record.run.dataset != "cifar100"]
    for weight in range(8):
        records += [make_record("kd", seed, hyperparameters={"weight": weight / 10}) for seed in range(3)]
    long = {"baseline_title": "Averylongsinglewordwithoutanyplacetobreakit of a title"}
    return [altered(r, about=long) if r.run.baseline == "shuffled_teacher" else r for r in records]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "demo"
    for record in long_records():
        write_run(folder, record)
    (folder / "runs" / "broken-0123").mkdir()
    results = Results.read(folder)
    (folder / "figures").mkdir()
    saved = [Saved(each, each.save(folder / "figures")) for each in comparison.drawings(results)]
    saved.append(Saved(Drawing("", "ranks", "ranks", "Ranks", "All tasks.", lambda: None), saved[0].paths))
    saved.append(
        Saved(Drawing("", "nemenyi", "nemenyi", "Critical differences", "", None, "too few blocks"), [])
    )
    tables = [*task_tables(results), *probe_tables(results)]
    return write_page(results, tables, saved, folder / "report.html")


@pytest.fixture
def open_page(chromium, report):
    """Opens the report; fails at the end for any error, console message or request that leaves the file."""
    contexts, faults = [], []

    def opened(width=1440, theme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.split("#")[0] == report.as_uri() or request.url.startswith("data:")
                else faults.append(f"request: {request.url}")
            ),
        )
        page.goto(report.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def seen(page):
    """Scrolls through the whole page, so that everything that waits to be seen is there."""
    for holder in page.locator("[data-chart], figure").all():
        holder.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-chart]')].every((chart) => chart.childElementCount)"
    )
    return page


def column(page, number, table=0):
    rows = page.locator(".sortable").nth(table).locator("tbody tr:not([hidden])")
    return [row.locator("th, td").nth(number).inner_text().strip() for row in rows.all()]


def number_of(page, header, table=0):
    heads = page.locator(".sortable").nth(table).locator("thead th")
    texts = [" ".join(head.inner_text().split()) for head in heads.all()]
    return next(k for k, text in enumerate(texts) if header in text)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_overflow_no_clipped_no_faint_text(open_page, width, theme):
    page = seen(open_page(width, theme))
    for section in page.locator(".runs summary").all()[:3]:
        section.click()
    page.locator(".detail svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert check(page, "clipped") == []
    assert check(page, "overlapping") == []
    assert check(page, "faint") == []
    for opener in ("Contents", "Baselines"):
        page.locator("#bar").get_by_role("button", name=re.compile(opener)).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert check(page, "clipped") == []
        assert check(page, "faint") == []


def test_a_clipped_word_would_be_found(open_page):
    page = open_page(390)
    page.evaluate(
        "const p = document.createElement('p'); p.textContent = 'cutoff'.repeat(20);"
        "p.style.cssText = 'width: 50px; overflow: hidden; overflow-wrap: normal';"
        "document.querySelector('main').append(p)"
    )
    assert set(check(page, "clipped")) == {"cutoff" * 20}


def test_a_click_sorts_numbers_by_value_with_empty_cells_last(open_page):
    page = open_page()
    number = number_of(page, "last epoch")
    before = column(page, number)
    head = page.locator(".sortable").first.locator("thead th").nth(number)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = column(page, number)
    values = [float(text.split()[0]) for text in down if text]
    assert "" in down
    assert values == sorted(values, reverse=True)
    assert down[: len(values)] == [text for text in down if text]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = column(page, number)
    assert [float(text.split()[0]) for text in up if text] == sorted(values)
    assert up[-1] == ""
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert column(page, number) == before


def test_the_keyboard_sorts_and_one_column_alone_is_marked(open_page):
    page = open_page()
    heads = page.locator(".sortable").first.locator("thead th")
    heads.nth(number_of(page, "last epoch")).locator("button").click()
    heads.nth(0).locator("button").focus()
    page.keyboard.press("Enter")
    names = [name.lower() for name in column(page, 0)]
    assert heads.nth(0).get_attribute("aria-sort") == "ascending"
    assert page.locator(".sortable").first.locator("[aria-sort]").count() == 1
    assert names[0].startswith("averylong")
    assert names.index("crd") < names.index("fitnet") < names.index("scratch")
    assert "Sorted by method" in page.locator("#announce").inner_text()


def test_counts_with_units_sort_by_what_they_mean(open_page):
    page = open_page()
    number = number_of(page, "parameters")
    head = page.locator(".sortable").first.locator("thead th").nth(number)
    head.locator("button").click()
    assert column(page, number)[0] == "278k"


def test_a_text_filters_the_rows_of_its_table_only(open_page):
    page = open_page()
    others = page.locator(".tables").nth(1).locator("tbody tr:not([hidden])").count()
    page.locator("[data-filter]").first.fill("label smooth")
    assert set(column(page, 0)) == {"Label smoothing"}
    assert re.fullmatch(r"\d+ of \d+ rows", page.locator("[data-count]").first.inner_text())
    assert page.locator(".tables").nth(1).locator("tbody tr:not([hidden])").count() == others
    page.locator("[data-filter]").first.fill("")
    assert len(column(page, 0)) > 1


def test_a_baseline_is_hidden_over_the_whole_page_and_not_remembered(open_page):
    page = seen(open_page())
    page.get_by_role("button", name=re.compile("Baselines")).click()
    box = page.locator("#baselines").get_by_label("FitNet", exact=True)
    key = box.get_attribute("value")
    assert page.locator(f"main [data-baseline='{key}']:visible").count() > 4
    box.focus()
    page.keyboard.press("Space")
    assert page.locator(f"main [data-baseline='{key}']:visible").count() == 0
    assert "FitNet" not in column(page, 0)
    assert page.locator("[data-chart=curves] .legend label:visible", has_text="FitNet").count() == 0
    assert page.locator("#baseline-count").inner_text() == "7/8"
    # The filter of a table doesn't bring it back.
    page.locator("[data-filter]").first.fill("fitnet")
    assert column(page, 0) == []
    page.reload()
    assert "FitNet" in column(page, 0)


def test_hiding_every_baseline_leaves_words_and_showing_them_brings_all_back(open_page):
    page = seen(open_page())
    before = page.locator(".comparison li:visible").count()
    page.get_by_role("button", name=re.compile("Baselines")).click()
    page.get_by_role("button", name="Hide all", exact=True).click()
    assert page.locator(".comparison li:visible").count() == 0
    assert page.locator("[data-chart=curves]").first.locator("text=No curve is chosen").count() == 1
    page.get_by_role("button", name="Show all", exact=True).click()
    assert page.locator(".comparison li:visible").count() == before
    assert page.locator("[data-chart=curves] .curve").count() > 0


def test_a_curve_is_toggled_by_its_checkbox(open_page):
    page = seen(open_page())
    chart = page.locator("[data-chart=curves]").first
    boxes = chart.locator(".legend input")
    assert 0 < chart.locator(".legend input:checked").count() < boxes.count()
    before = chart.locator(".curve").count()
    boxes.first.focus()
    page.keyboard.press("Space")
    assert chart.locator(".curve").count() == before - 1
    page.keyboard.press("Space")
    assert chart.locator(".curve").count() == before


def test_curves_are_read_by_pointer_and_by_keyboard(open_page):
    page = seen(open_page())
    chart = page.locator("[data-chart=curves]").first
    surface = chart.locator(".surface")
    surface.focus()
    page.keyboard.press("Home")
    assert "Values at epoch 1:" in chart.locator(".legend").inner_text()
    spoken = page.locator("#announce").inner_text()
    assert re.search(r"Epoch 1: Scratch \d+\.\d \(\d+\.\d–\d+\.\d\)", spoken)
    surface.hover()
    epoch = int(re.search(r"Values at epoch (\d+)", chart.locator(".legend").inner_text())[1])
    assert 4 <= epoch <= 9
    shown = chart.locator(".legend input:checked").count()
    assert chart.locator(".reading", has_text=re.compile(r"\d")).count() == shown


def test_the_comparison_reads_each_row_and_follows_the_order(open_page):
    page = open_page()
    chart = page.locator(".comparison").first
    chart.locator(".plot").focus()
    page.keyboard.press("ArrowDown")
    assert re.match(
        r"Scratch; \d+\.\d \[.*\] n = 3; seed 0: \d+\.\d; seed 1:", chart.locator(".readout").inner_text()
    )
    chart.locator("[data-order]").select_option("mean")
    means = [row.get_attribute("data-mean") for row in chart.locator("li").all()]
    values = [float(mean) for mean in means if mean]
    assert values == sorted(values, reverse=True)


def test_the_order_by_mean_has_the_best_first_where_lower_is_better(chromium, tmp_path):
    error = {"top1": altered(METRICS["top1"], direction="min")}
    names = ("scratch", "kd", "crd", "fitnet")
    records = [altered(make_record(name, seed), metrics=error) for name in names for seed in range(3)]
    records.append(altered(make_record("fsp", 0, "not_applicable"), metrics=error))
    page = chromium.new_page()
    page.goto(write_page(Results.of(records), [], [], tmp_path / "report.html").as_uri())
    page.locator("[data-order]").select_option("mean")
    means = [row.get_attribute("data-mean") for row in page.locator(".comparison li").all()]
    page.close()
    *values, last = means
    assert last == ""
    assert list(map(float, values)) == sorted(map(float, values))


def test_another_panel_is_chosen(open_page):
    page = seen(open_page())
    choice = page.locator("select[id$=-comparison-panel]").first
    first = page.locator(".comparison h4:visible").first.inner_text()
    choice.select_option("1")
    assert page.locator(".comparison h4:visible").first.inner_text() != first
    assert page.locator(".comparison:visible").first.locator(".ticks span").count() > 2
    curves = page.locator("select[id$=-curves-panel]").first
    curves.select_option("1")
    assert page.locator("[data-chart=curves]").first.locator(".curve").count() > 0


def test_accuracy_against_cost_changes_its_axis_and_reads_points(open_page):
    page = seen(open_page())
    chart = page.locator("[data-chart=costs]").first
    assert chart.locator(".point").count() > 4
    chart.locator(".surface").focus()
    page.keyboard.press("ArrowRight")
    assert re.search(
        r": \d+\.\d \[.*Training step, teacher's share too \(ms\): \d", chart.locator(".readout").inner_text()
    )


def test_a_detail_is_made_when_its_link_is_followed(open_page):
    page = open_page()
    assert page.locator(".detail").count() == 0
    page.locator(".sortable").first.get_by_role("link", name="CRD", exact=True).click()
    page.locator(".detail").wait_for()
    assert page.locator(".detail").count() == 1
    text = page.locator(".detail").inner_text()
    for words in ("Hyper-parameters", "Provenance", "python run_all.py", "Seed 2: finished"):
        assert words in text
    assert page.locator(".detail .curve").count() == 3
    assert page.locator("details[open] > summary").evaluate("(summary) => summary === document.activeElement")


def test_the_theme_button_changes_the_theme_and_panels_close_with_escape(open_page):
    page = open_page(theme="light")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    opener = page.get_by_role("button", name="Contents")
    opener.click()
    assert page.locator("#contents").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#contents").is_visible()
    assert opener.evaluate("(button) => button === document.activeElement")


def test_the_first_tab_reaches_the_skip_link(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_a_phone_shows_method_score_and_difference(open_page):
    page = open_page(390)
    table = page.locator(".sortable").first
    cell = table.locator("tbody tr", has_text="CRD").first.locator("td").nth(1)
    assert re.match(r"[+−-]\d+\.\d \[", cell.inner_text())
    box = cell.bounding_box()
    assert box["x"] + box["width"] <= 390
    assert page.locator("#summary").bounding_box()["y"] < 700


def test_ticks_never_break_at_any_width(open_page):
    page = open_page()
    for width in range(330, 1000, 60):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(30)
        tall = page.evaluate(
            "[...document.querySelectorAll('.comparison:not([hidden]) .ticks span')]"
            ".filter((tick) => tick.offsetHeight > 1.9 * parseFloat(getComputedStyle(tick).fontSize)).length"
        )
        assert tall == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_has_every_chart_mark_and_column_without_scrolling_first(open_page, tmp_path):
    page = open_page()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("[data-chart=curves] .curve").count() > 4
    assert page.locator("[data-chart=costs] .point").count() > 4
    assert page.locator(".comparison:visible").count() == page.locator(".comparison").count() > 1
    assert page.locator(".comparison .ticks:not(:has(span))").count() == 0
    marks = page.locator(".track .mean").first
    assert marks.evaluate("(mark) => getComputedStyle(mark).printColorAdjust") == "exact"
    widths = "[...document.querySelectorAll('.scroll table')].map((t) => t.getBoundingClientRect().width)"
    assert max(page.evaluate(widths)) <= 700
    assert page.locator("#bar").is_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator(".comparison:visible").count() < page.locator(".comparison").count()
    written = page.pdf()
    assert written.startswith(b"%PDF")


def test_a_baseline_has_one_colour_in_every_chart(open_page):
    page = seen(open_page())
    colour = page.locator(".comparison li", has_text="CRD").first.evaluate(
        "(row) => getComputedStyle(row.querySelector('.mean')).backgroundColor"
    )
    point = page.locator("[data-chart=costs] .point[data-label=CRD]").first
    assert point.evaluate("(mark) => getComputedStyle(mark).fill") == colour
    legend = page.locator("[data-chart=curves] .legend label", has_text=re.compile("^CRD")).first
    assert legend.locator("line").evaluate("(line) => getComputedStyle(line).stroke") == colour


def test_the_keyboard_reaches_everything_in_order_and_each_stop_is_seen_and_named(open_page):
    page = seen(open_page())
    reached, last = [], -1.0
    for _ in range(400):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "() => { const e = document.activeElement; if (e === document.body) return null;"
            " const box = e.getBoundingClientRect(), style = getComputedStyle(e);"
            " const name = e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent"
            " || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent || '';"
            " return { tag: e.tagName, kind: e.className, name: name.trim(), outline: style.outlineStyle,"
            " top: box.top + scrollY, size: box.width * box.height, bar: !!e.closest('#bar') }; }"
        )
        if stop is None:
            break
        reached.append(stop)
        assert stop["name"], stop
        assert stop["outline"] != "none", stop
        assert stop["size"] > 0, stop
        if not stop["bar"] and stop["kind"] != "skip":
            assert stop["top"] >= last - 60, stop
            last = max(last, stop["top"])
    tags = {stop["tag"] for stop in reached}
    assert {"A", "BUTTON", "SELECT", "INPUT", "SUMMARY"} <= tags
    assert sum(stop["kind"] == "surface" for stop in reached) >= 4
    assert any(stop["kind"] == "plot" for stop in reached)


def test_a_screen_reader_gets_each_point_of_the_costs_in_words(open_page):
    page = seen(open_page())
    items = page.locator("[data-chart=costs]").first.locator("ul.unseen li").all_inner_texts()
    assert len(items) > 4
    assert all(
        re.search(r"\(n = \d\); Training step, teacher's share too \(ms\): \d", each) for each in items
    )


def test_what_was_run_opens_when_it_is_gone_to(open_page):
    page = open_page()
    assert page.locator("#ran dl").first.is_hidden()
    page.get_by_role("button", name="Contents").click()
    page.get_by_role("link", name="What was run").click()
    assert page.locator("#ran dl").first.is_visible()

"""The page: well formed, harmless, and everything that the report knows stands on it."""

import base64
import hashlib
import html
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote

import pytest
from rich.console import Console

from benchmark.records import Measurements, Provenance, write_record
from benchmark.reporting import report
from benchmark.reporting.figures import Saved, comparison
from benchmark.reporting.figures.drawing import Drawing
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.page import write_page
from benchmark.reporting.page.citations import papers, suite_bibtex
from benchmark.reporting.page.details import compact_json, row_detail
from benchmark.reporting.page.pictures import pictures
from benchmark.reporting.results import Results
from benchmark.reporting.summary import summaries
from benchmark.reporting.tables.probe_tables import probe_tables
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import all_records, altered, make_record, write_run

VOID = {"meta", "link", "img", "input", "br"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}</script><!--"


class Tree(HTMLParser):
    """Checks nesting while it collects tags, attributes and texts."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.cells, self.texts, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data
        if "script" in self.open:
            self.scripts[-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def some_figures(results, folder):
    """One comparison alone: the page treats every kind alike, and drawing all takes long."""
    folder.mkdir(exist_ok=True)
    *_, smallest = comparison.drawings(results)
    return [Saved(smallest, smallest.save(folder))]


def page_of(folder, saved=None):
    results = Results.read(folder)
    tables = [*task_tables(results), *probe_tables(results)]
    saved = some_figures(results, folder / "figures") if saved is None else saved
    return results, tables, write_page(results, tables, saved, folder / "report.html")


@pytest.fixture
def page(results):
    results, tables, path = page_of(results, [])
    return results, tables, Tree(path.read_text(encoding="utf-8"))


def test_the_page_is_well_nested_with_landmarks_and_unique_ids(page):
    _, _, tree = page
    names = Counter(tag for tag, _ in tree.tags)
    assert names["main"] == names["h1"] == names["nav"] == names["header"] == 1
    ids = Counter(attributes["id"] for _, attributes in tree.tags if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    for attributes in tree.all("a"):
        if attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids
    for _, attributes in tree.tags:
        for name in ("aria-labelledby", "aria-controls", "for"):
            assert attributes.get(name) is None or attributes[name] in ids


def test_headings_never_skip_a_level(page):
    _, _, tree = page
    levels = [int(tag[1]) for tag, _ in tree.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_cell_of_every_table_stands_on_the_page(page):
    _, tables, tree = page
    shown = Counter(cell.strip() for cell in tree.cells)
    expected = Counter(
        column.cell(row).strip()
        for table in tables
        for block in table.blocks
        for row in block.rows
        for column in table.columns
    )
    assert expected
    missing = expected - shown
    assert not missing


def test_every_sentence_of_the_summaries_stands_on_the_page(page):
    results, _, tree = page
    text = " ".join("".join(tree.texts).replace("\u00a0", " ").split())
    sentences = [
        s for panels in results.panels.values() for each in summaries(panels) for s in each.sentences
    ]
    assert sentences
    assert [sentence for sentence in sentences if sentence not in text] == []


def test_the_summaries_come_first_and_what_was_run_is_folded(page):
    _, _, tree = page
    first = next(
        attributes["id"]
        for tag, attributes in tree.tags
        if tag == "h2" and attributes.get("id") != "problems"
    )
    assert first == "summary"
    (fold,) = (attributes for attributes in tree.all("details") if attributes.get("class") == "fold")
    assert fold["id"] == "ran"
    assert "open" not in fold


def test_a_table_shows_the_score_and_the_difference_before_everything_else(page):
    _, tables, _ = page
    headers = [column.header.replace("\n", " ") for column in tables[0].columns]
    assert headers[0] == "method"
    assert headers[1].endswith("last epoch")
    assert headers[2].startswith("difference to")
    assert headers.index("role") > headers.index("status") > 2


def test_files_are_linked_from_where_they_are_shown(results):
    report(results, Console(file=io.StringIO()))
    tree = Tree((results / "report.html").read_text(encoding="utf-8"))
    links = {unquote(a["href"]) for a in tree.all("a") if not a["href"].startswith(("#", "https:"))}
    assert all((results / link).is_file() for link in links), links
    names = {path.relative_to(results).as_posix() for path in results.glob("*/*") if path.suffix == ".pdf"}
    assert names <= links
    assert {
        "tables/compression.csv",
        "tables/compression.tex",
        "records.csv",
        "tables/comparisons.csv",
    } <= links


def test_text_of_records_leads_no_file_out_of_the_folder(tmp_path):
    folder = tmp_path / "a" / "b" / "c"
    for name in ("scratch", "kd"):
        path = write_run(folder, make_record(name, 0))
        run = {"task": "../../evil", "dataset": "../%2f" + "x" * 300}
        write_record(path / "record.json", altered(make_record(name, 0), run=run))
    report(folder, Console(file=io.StringIO()))
    assert {path.name for path in (tmp_path / "a").rglob("*")} >= {"report.html"}
    assert [path.name for path in tmp_path.rglob("*evil*") if "a/b/c" not in path.as_posix()] == []


def test_problems_notes_captions_and_failures_stand_on_the_page(page):
    results, tables, tree = page
    text = " ".join("".join(tree.texts).split())
    for line in results.problems:
        assert " ".join(line.split()) in text
    for table in tables:
        for sentence in (*table.caption, *table.notes):
            assert sentence in text
    assert "the loss is nan at epoch 3" in tree.cells


def test_nothing_is_loaded_from_outside_the_file(results):
    _, _, path = page_of(results)
    tree = Tree(path.read_text(encoding="utf-8"))
    for tag, attributes in tree.tags:
        for name in ("src", "srcset", "data", "poster", "action", "background", "ping"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
        if tag not in ("a",):
            assert (attributes.get("href") or "data:,").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    for attributes in tree.all("a"):
        assert re.match(r"#|https://arxiv\.org/abs/|(tables/|figures/)?[\w.%+-]+\.\w+$", attributes["href"])
    policy = next(a["content"] for a in tree.all("meta") if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    style = path.read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style


def hostile_record(seed, status="finished"):
    record = make_record("kd", seed, status, reason=HOSTILE, hyperparameters={"weight": HOSTILE, HOSTILE: 1})
    titles = ("baseline_title", "dataset_title", "task_title", "paper", "arxiv", "student")
    record.metrics["top1"] = altered(record.metrics["top1"], title=HOSTILE, short=HOSTILE)
    return altered(
        record,
        about=dict.fromkeys(titles, HOSTILE),
        condition={"overrides": {HOSTILE: HOSTILE}},
        provenance=dict.fromkeys(("command", "device", "commit"), HOSTILE),
        teacher={"architecture": HOSTILE},
    )


def test_hostile_text_stays_text(tmp_path):
    write_run(tmp_path, make_record("scratch", 0))
    write_run(tmp_path, hostile_record(0))
    write_run(tmp_path, hostile_record(1, "diverged"))
    drawing = Drawing("compression", "hostile", "compression_hostile", HOSTILE, HOSTILE, None, HOSTILE)
    _, _, path = page_of(tmp_path, [Saved(drawing, [])])
    tree = Tree(path.read_text(encoding="utf-8"))
    own = [script for script in tree.scripts if '"use strict"' in script]
    assert len(own) == 1
    assert [a for a in tree.all("script") if a and a.get("type") != "application/json"] == []
    assert tree.all("img") == []
    assert not any(name.startswith("on") for _, attributes in tree.tags for name in attributes)
    assert HOSTILE in tree.texts
    assert "49" not in [text.strip() for text in tree.texts]
    details = [json.loads(script) for script in tree.scripts if script not in own]
    assert any(HOSTILE in json.dumps(each, ensure_ascii=False).replace('\\"', '"') for each in details)


def test_the_policy_names_the_checksum_of_the_one_script(page):
    _, _, tree = page
    (script,) = (script for script in tree.scripts if '"use strict"' in script)
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for a in tree.all("meta") if a.get("http-equiv"))
    assert f"script-src 'sha256-{checksum}'" in policy


def test_the_detail_of_a_row_over_several_teachers_names_that_of_each_run():
    records = [
        altered(
            make_record("kd", seed, teacher_seed=teacher),
            teacher={"id": f"t{teacher}", "checksum": f"{teacher}"},
        )
        for teacher in (0, 1)
        for seed in (0, 1)
    ]
    (block,) = task_blocks(records)["compression"]
    (row,) = block.students
    detail = row_detail(row, block.metrics)
    assert detail["results"]["header"][:3] == ["teacher seed", "seed", "status"]
    assert [line[:2] for line in detail["results"]["lines"]] == [
        ["0", "0"],
        ["0", "1"],
        ["1", "0"],
        ["1", "1"],
    ]
    shared = {title: dict(entries) for title, entries in detail["shared"]}
    assert shared["Condition"]["teacher seed"] == "0, 1"


def test_the_detail_of_a_run_holds_its_configuration_results_and_command(page):
    results, _, tree = page
    details = [json.loads(script) for script in tree.scripts if script.startswith('{"shared"')]
    by_run = {
        run: (detail, own)
        for detail in details
        for run, own in zip(detail["curves"], detail["runs"], strict=True)
    }
    assert by_run.keys() == {record.id for record in results.records}
    for record in results.records:
        detail, own = by_run[record.id]
        shared = {name: dict(map(tuple, entries)) for name, entries in detail["shared"]}
        assert own["command"] == record.provenance.command
        assert own["reason"] == record.reason
        for name in record.hyperparameters:
            assert shared["Hyper-parameters"][name] == f"{record.hyperparameters[name]:g}"
        if record.status == "finished":
            line = detail["results"]["lines"][detail["curves"].index(record.id)]
            assert f"{100 * record.results.score('test@last', 'top1'):.2f}" in line


def test_curves_hold_the_history_of_every_run(page):
    results, _, tree = page
    runs = {}
    for script in tree.scripts:
        if script.startswith('{"panels"'):
            runs |= json.loads(script)["runs"]
    for run, frame in results.history.groupby("id"):
        assert runs[run]["t"] == pytest.approx(frame["train/loss"].tolist(), rel=1e-4)
        values = frame["validation/top1"].dropna()
        if len(values):
            assert runs[run]["v"] == pytest.approx((100 * values).tolist(), rel=1e-4)


def test_the_same_records_give_the_same_bytes(results):
    first = page_of(results, [])[2].read_bytes()
    assert page_of(results, [])[2].read_bytes() == first


def test_figures_are_embedded_with_their_captions_and_missing_ones_named(results):
    read = Results.read(results)
    saved = some_figures(read, results / "figures")
    paths = saved[0].paths
    extra = Drawing(
        "compression", "extra", "compression_extra", "Extra", "What the extra shows.", lambda: None
    )
    across = Drawing("", "ranks", "ranks", "Ranks", "Over all tasks.", lambda: None)
    missing = Drawing(
        "", "nemenyi", "nemenyi", "Critical differences", "", None, "fewer than five complete blocks"
    )
    _, _, path = page_of(results, [*saved, Saved(extra, paths), Saved(across, paths), Saved(missing, [])])
    tree = Tree(path.read_text(encoding="utf-8"))
    descriptions = [attributes["alt"] for attributes in tree.all("img")]
    assert "Extra. What the extra shows." in descriptions
    assert "Ranks. Over all tasks." in descriptions
    assert all(attributes["decoding"] == "async" for attributes in tree.all("img"))
    assert "fewer than five complete blocks" in tree.texts
    # The comparison and the curves are drawn by the page itself.
    assert not any("comparison" in description for description in descriptions)


def test_too_heavy_figures_become_smaller_ones(results, monkeypatch):
    saved = some_figures(Results.read(results), results / "figures")
    full = sum(len(picture.source) for picture in pictures(saved))
    monkeypatch.setattr("benchmark.reporting.page.pictures.LIMIT", full // 2)
    small = pictures(saved)
    assert len(small) == len(saved)
    assert sum(len(picture.source) for picture in small) < 0.7 * full
    assert [p.width for p in small] == [p.width for p in pictures(saved)]


def test_json_in_a_script_can_not_end_it():
    text = compact_json({"a": "</script><!-- & \u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_papers_are_cited_once_and_only_arxiv_numbers_become_links():
    records = []
    for baseline, arxiv in (("kd", "1503.02531"), ("crd", "1910.10699"), ("crd+kd", "1910.10699")):
        records.append(altered(make_record(baseline, 0), about={"arxiv": arxiv}))
    bad = altered(make_record("fitnet", 0), about={"arxiv": "javascript:alert(1)"})
    two = altered(make_record("fsp", 0), about={"paper": "Tung & Mori, ICCV 2019"})
    assert r"note = {Tung \& Mori, ICCV 2019 (FSP)}" in papers([two])[0].bibtex
    found = {paper.baselines: paper for paper in papers([*records, bad, make_record("fsp", 0)])}
    assert set(found) == {"KD", "CRD, CRD + KD", "FitNet", "FSP"}
    assert found["KD"].link == "https://arxiv.org/abs/1503.02531"
    assert found["FitNet"].link == ""
    assert "author = {Tian and others}" in found["CRD, CRD + KD"].bibtex
    assert "year = {2020}" in found["CRD, CRD + KD"].bibtex
    assert "{{WCoRD-Bench}: a benchmark suite for knowledge distillation}" in suite_bibtex(records)
    assert "0123456789ab" in suite_bibtex(records)


def test_baselines_that_never_ran_are_not_cited():
    assert papers([make_record("fsp", 0, "not_applicable", reason="no")]) == []


def test_records_without_provenance_or_anchor_make_a_page(tmp_path):
    write_run(tmp_path, altered(make_record("kd", 0), provenance=Provenance(), measurements=Measurements()))
    _, _, path = page_of(tmp_path, [])
    assert "No differences" in html.unescape(path.read_text(encoding="utf-8"))


def test_all_records_once_more_without_history(tmp_path):
    for record in all_records():
        (write_run(tmp_path, record) / "history.jsonl").unlink()
    _, _, path = page_of(tmp_path, [])
    tree = Tree(path.read_text(encoding="utf-8"))
    assert not any(attributes.get("data-chart") == "curves" for attributes in tree.all("div"))

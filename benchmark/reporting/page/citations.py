"""How to cite: BibTeX entries for the suite and for the papers that the records name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.records import Record
from benchmark.reporting.rows import grouped

ARXIV = re.compile(r"\d{4}\.\d{4,5}(v\d+)?|[a-z-]+(\.[A-Z]{2})?/\d{7}(v\d+)?")
YEAR = re.compile(r"\b(19|20)\d{2}\b")


@dataclass(frozen=True)
class Paper:
    """One paper, the baselines of it that ran, and its link (empty where no arXiv number is known)."""

    paper: str
    baselines: str
    link: str
    bibtex: str


def suite_bibtex(records: Iterable[Record]) -> str:
    """The suite's own entry, with the version, the commits and the year of the records."""
    known = [record.provenance for record in records]
    versions = sorted({p.versions["wcord-bench"] for p in known if "wcord-bench" in p.versions})
    commits = sorted({p.commit[:12] for p in known if p.commit})
    years = sorted({p.finished[:4] for p in known if YEAR.match(p.finished)})
    fields = {
        "title": "{WCoRD-Bench}: a benchmark suite for knowledge distillation",
        "author": "{The WCoRD-Bench maintainers}",
        "year": years[-1] if years else "",
        "version": ", ".join(versions),
        "note": f"Code at commit {', '.join(commits)}" if commits else "",
    }
    return _entry("software", "wcord_bench", fields)


def papers(records: Iterable[Record]) -> list[Paper]:
    """The distinct papers of the baselines that ran, sorted by their text."""
    ran = [each for each in records if each.about.paper.strip() and each.status != "not_applicable"]
    # Baselines of one paper may describe it in their own words; the shortest is the paper alone.
    groups = grouped(ran, lambda each: _arxiv(each) or each.about.paper.strip()).values()
    named = [(min((each.about.paper.strip() for each in own), key=len), own) for own in groups]
    found, keys = [], set()
    for paper, own in sorted(named, key=lambda item: item[0]):
        arxiv = _arxiv(own[0])
        baselines = dict.fromkeys(each.about.baseline_title or each.run.baseline for each in own)
        key = base = _key(paper)
        number = 1
        while key in keys:
            number += 1
            key = f"{base}_{number}"
        keys.add(key)
        names = ", ".join(baselines)
        year = YEAR.search(paper)
        fields = {
            "author": _authors(paper),
            "year": year[0] if year else "",
            "note": re.sub(r"([&%#_$])", r"\\\1", f"{_plain(paper)} ({_plain(names)})"),
            "eprint": arxiv,
            "archiveprefix": "arXiv" if arxiv else "",
        }
        link = f"https://arxiv.org/abs/{arxiv}" if arxiv else ""
        found.append(Paper(paper, names, link, _entry("misc", key, fields)))
    return found


def _arxiv(record: Record) -> str:
    """The paper's number; empty where there is none, or something else in its place."""
    number = record.about.arxiv.strip()
    return number if ARXIV.fullmatch(number) else ""


def _authors(paper: str) -> str:
    """`Heo and others` of `Heo et al., AAAI 2019`; `Park and Kwak` of `Park & Kwak, ECCV 2020`."""
    names = _plain(paper.split(",")[0])
    names = re.sub(r"\s+et al\.?", " and others", names)
    return re.sub(r"\s*&\s*", " and ", names).strip()


def _plain(text: str) -> str:
    """The text without what would break an entry."""
    return re.sub(r"[{}\\\n]+", " ", text).strip()


def _key(paper: str) -> str:
    return "_".join(re.findall(r"[A-Za-z0-9]+", paper)).lower().replace("_et_al", "") or "paper"


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])

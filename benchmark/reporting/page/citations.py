"""How to cite: BibTeX entries for the suite and for the papers that the records name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.records import Record

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
    groups: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        about = record.about
        paper, arxiv = about.paper.strip(), about.arxiv.strip()
        if paper and record.status != "not_applicable":
            title = about.baseline_title or record.run.baseline
            groups.setdefault(arxiv if ARXIV.fullmatch(arxiv) else paper, []).append((paper, title))
    found, keys = [], set()
    # Baselines of one paper may describe it in their own words; the shortest is the paper alone.
    known = {group: min((paper for paper, _ in members), key=len) for group, members in groups.items()}
    for group, paper in sorted(known.items(), key=lambda item: item[1]):
        arxiv = group if ARXIV.fullmatch(group) else ""
        baselines = dict.fromkeys(title for _, title in groups[group])
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
            "note": f"{_plain(paper)} ({_plain(names)})",
            "eprint": arxiv,
            "archiveprefix": "arXiv" if arxiv else "",
        }
        link = f"https://arxiv.org/abs/{arxiv}" if arxiv else ""
        found.append(Paper(paper, names, link, _entry("misc", key, fields)))
    return found


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

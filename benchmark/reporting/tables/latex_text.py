"""Any text as pdflatex prints it: nothing in it is a command, everything is ASCII; and how wide it is."""

import re
import unicodedata

MINUS = re.compile(r"(?<![\w.)-])-(?=\.?[0-9])")
"""A hyphen that is the sign of a number."""

EMS = {
    0.31: "ijl.,;:'|!",
    0.36: " -",
    0.42: "frst()[]/",
    0.54: "0123456789",
    0.77: "ABCDEFGHJKLNOPQRSTUVXYZ",
    0.84: "+±−×=<>",
    1.0: "mwMW→%@~…",
}
"""Widths of characters in em; the others have 0.55."""

_TEXTS = "backslash asciitilde asciicircum asciigrave less greater bar endash emdash bullet degree"
_LETTERS = "ss o O ae AE oe OE l L i"
_MATHS = "pm times to leftarrow uparrow downarrow bullet circ le ge approx ne infty cdot surd sum in"
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho varsigma sigma tau"
    " upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
SYMBOLS = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{c: rf"\text{name}{{}}" for c, name in zip("\\~^`<>|–—•°", _TEXTS.split(), strict=True)},
    **{c: rf"$\{name}$" for c, name in zip("±×→←↑↓●○≤≥≈≠∞·√∑∈", _MATHS.split(), strict=True)},
    **{
        c: rf"$\{name}$"
        for c, name in zip("αβγδεζηθικλμνξπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", _GREEK.split(), strict=True)
    },
    **{c: rf"\{name}{{}}" for c, name in zip("ßøØæÆœŒłŁı", _LETTERS.split(), strict=True)},
    **dict(zip("οΑΒΕΖΗΙΚΜΝΟΡΤΧ’‘", "oABEZHIKMNOPTX'`", strict=True)),
    "−": "$-$",
    "⁄": "/",
}
ACCENTS = {
    chr(0x300 + k): a for k, a in zip((0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 39), "`'^~=u.\"rHvc", strict=True)
}


def latex_escape(text: str) -> str:
    """The text as pdflatex prints it: plain ASCII on one line, without commands; `?` for what has none."""
    escaped = "".join(map(_escaped, unicodedata.normalize("NFC", text)))
    return re.sub("-(?=-)", "-{}", escaped)


def _escaped(character: str) -> str:
    if character in SYMBOLS or character.isspace():
        return SYMBOLS.get(character, " ")
    if character.isascii():
        return character if character.isprintable() else ""
    base, *marks = unicodedata.normalize("NFKD", character)
    if marks and base.isalpha() and base.isascii() and all(mark in ACCENTS for mark in marks):
        for mark in marks:
            base = rf"\{ACCENTS[mark]}{{{base}}}"
        return base
    if marks or base != character:
        return "".join(map(_escaped, (base, *marks)))
    return "" if unicodedata.category(character) in ("Mn", "Cf", "Cc") else "?"


def em(text: str) -> float:
    """The width of a text in Computer Modern of 8 points, give or take a twentieth."""
    return sum(next((width for width, some in EMS.items() if c in some), 0.55) for c in MINUS.sub("−", text))


def flowing(text: str, longest: float = 13.0) -> str:
    """The text escaped; words wider than `longest` (in em) may break anywhere, for the lack of a place to."""
    words = []
    for word in text.split():
        step = max(1, int(len(word) * longest / em(word) / 2)) if em(word) > longest else len(word)
        chunks = (latex_escape(word[start : start + step]) for start in range(0, len(word), step))
        words.append(r"\allowbreak{}".join(chunks))
    return " ".join(words)

"""Text for LaTeX and BibTeX: escaped, and as wide as it will be."""

from __future__ import annotations

import re
import unicodedata

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "{": r"\textbraceleft{}",  # BibTeX counts braces, escaped ones included
    "}": r"\textbraceright{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # in OT1 a closing quotation mark
    **{character: f"\\{character}" for character in "&%$#_"},
    "\u00a0": "~",
    "\u2010": "-",
    "\u2011": "-",
    "\u2013": "--",
    "\u2014": "---",
    "\u2018": "`",
    "\u2019": "'",
    "\u201c": "``",
    "\u201d": "''",
    "\u2026": r"\ldots{}",
    "\u00b0": r"\textdegree{}",
    "\u00b1": r"\ensuremath{\pm}",
    "\u00d7": r"\ensuremath{\times}",
    "\u00b7": r"\ensuremath{\cdot}",
    "\u2212": r"\ensuremath{-}",
    "\u2192": r"\ensuremath{\rightarrow}",
    "\u2190": r"\ensuremath{\leftarrow}",
    "\u2191": r"\ensuremath{\uparrow}",
    "\u2193": r"\ensuremath{\downarrow}",
    "\u2248": r"\ensuremath{\approx}",
    "\u2260": r"\ensuremath{\neq}",
    "\u2264": r"\ensuremath{\leq}",
    "\u2265": r"\ensuremath{\geq}",
    "\u221e": r"\ensuremath{\infty}",
    "\u00b5": r"\ensuremath{\mu}",
    "\u00df": r"{\ss}",
    "\u00e6": r"{\ae}",
    "\u00c6": r"{\AE}",
    "\u0153": r"{\oe}",
    "\u0152": r"{\OE}",
    "\u00f8": r"{\o}",
    "\u00d8": r"{\O}",
    "\u0142": r"{\l}",
    "\u0141": r"{\L}",
    "\u0131": r"{\i}",
}
"""The LaTeX of characters, without a package and in every encoding of fonts."""

ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0327\u0328\u0331",
        ["`", "'", "^", "~", "=", "u ", ".", '"', "r ", "H ", "v ", "d ", "c ", "k ", "b "],
        strict=True,
    )
)
"""Commands of combining characters."""

GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta", "κ": "kappa"}  # noqa: RUF001
GREEK |= {"λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega"}  # noqa: RUF001
GREEK |= {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ω": "Omega"}


def escaped(text: str) -> str:
    r"""Escape a text for LaTeX, and for a field of BibTeX, whatever characters it has.

    Accents are commands and Greek letters are in math mode; a character that pdfLaTeX's usual fonts do not have, such
    as a Chinese one, is printed as its code point, U+4E2D.
    """
    return "".join(map(_escaped, unicodedata.normalize("NFC", text)))


def _escaped(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character in GREEK:
        return rf"\ensuremath{{\{GREEK[character]}}}"
    if character.isascii():
        return character if character.isprintable() else " "
    parts = unicodedata.normalize("NFKD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS:
        return f"{{\\{ACCENTS[parts[1]]}{parts[0]}}}"
    return f"U+{ord(character):04X}"


BREAK = r"\allowbreak{}"


def breakable(text: str) -> str:
    """Escape a name, with line breaks allowed after its separators, in long words and between other than Latin letters.

    "deeplabv3plus" is not long; parts of a long word have no more than 8 characters.
    """
    text = unicodedata.normalize("NFC", text)
    text = re.sub("(?<=[_:/+.\u0250-\U0010ffff])(?=.)", "\0", text)
    text = re.sub("[^\\s\0-]{15,}", lambda word: "\0".join(re.findall(".{1,8}", word[0])), text)
    return BREAK.join(map(escaped, text.split("\0")))


def unbroken(latex: str) -> str:
    """Return what `breakable` returned without its line breaks."""
    return latex.replace(BREAK, "")


WIDTHS = {
    character: width
    for characters, width in {
        " -_()[]": 3.9,
        "ijl.,:;|!'": 3.1,
        "rst": 4.0,
        "acevxyz0123456789": 5.3,
        "bdghknopquf/+=": 5.6,
        "mwMWO%@#&<>": 10.0,
    }.items()
    for character in characters
}
"""Widths in points of characters of 10 pt Computer Modern Roman, rounded up."""

CAPITAL = 7.7
"""Width of other characters of ASCII."""

OTHER = 33.0
"""Width of characters beyond ASCII, which may be printed as a code point."""


def width(text: str) -> float:
    """Return the width of a text in points at 10 pt, before it is escaped; no less than LaTeX will need."""
    return sum(WIDTHS.get(character, CAPITAL if character.isascii() else OTHER) for character in text)


def cite(*keys: str | None) -> str:
    """Return a citation of the keys that are known; empty if none is."""
    known = [key for key in keys if key]
    return rf"~\cite{{{','.join(known)}}}" if known else ""

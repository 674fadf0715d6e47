r"""Text for LaTeX and BibTeX."""

from __future__ import annotations

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

GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta", "κ": "kappa"}
GREEK |= {"λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega"}
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

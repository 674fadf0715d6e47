"""LaTeX tables. Those marked `latex` are compiled, most in a two-column article, with BibTeX."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.analysis import view
from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.reporting.latex import breakable, escaped, width
from benchmark.reporting.latex_table import latex_table
from benchmark.reporting.table import COLUMNS
from benchmark.results.summary import summarise

NASTY = ["a_b & 50% #1 ~ ^", "{brace}d", r"back\slash", "é ñ Å ß øre", "中文网络 µ=β", "$x$ \"q\" 'r'"]


@pytest.fixture
def runs(make_record):
    """One network that is better than another in every seed, and one that failed."""
    made = [make_record("pspnet_r50-d8", seed, 0.8 + seed / 100, macs=8_123_456_789) for seed in range(3)]
    made += [make_record("enet", seed, 0.4 + seed / 100, macs=500_000_000, latency_ms=5.0) for seed in range(3)]
    made += [make_record("unet_100%&more", 0, status="out_of_memory", macs=900_000_000, latency_ms=9.0)]
    return [summarise(record) for record, _ in made]


def text_of(runs, *columns, **options):
    (group,) = view.groups_of(runs)
    return latex_table(group, view.was_run(group.table), columns, **{"label": "tab:x"} | options)


def rows_of(text):
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    return {line.split()[0].partition("~")[0]: line for line in body.splitlines() if line.endswith(r"\\")}


def test_a_row_has_the_figures_and_the_paper(runs):
    rows = rows_of(text_of(runs))
    assert rows["enet"].split(" & ")[0].strip() == r"enet~\cite{paszke2016enet}"
    assert re.search(r"& \d+\.\d\d & \$\\pm\$\\,\d\.\d\d &", rows["enet"])
    assert r"\multicolumn{2}{c}{out of memory}" in rows[r"unet\_100\%\&more"]
    assert "50.0" not in rows["enet"]  # the latency of one that failed


def test_the_better_is_bold(runs):
    rows = rows_of(text_of(runs))
    assert rows[r"pspnet\_r50-d8"].count(r"\bfseries") == 1  # mIoU
    assert rows["enet"].count(r"\bfseries") >= 2  # parameters and MACs
    assert "Bold: better than every other row, of accuracy by tests at a family-wise error of 5" in text_of(runs)


def runs_of(make_record, networks):
    """Three results of each network, by the quality of its first."""
    return [
        summarise(make_record(name, seed, quality + seed / 100)[0])
        for name, quality in networks.items()
        for seed in range(3)
    ]


def test_a_tie_is_never_bold(make_record):
    """Neither a tie as tested, nor equal figures, nor a figure that a single seed contests."""
    shown = ("architecture", "miou_percent", "macs")
    tied = runs_of(make_record, {"a": 0.7, "b": 0.7001})
    nearly = [run._replace(macs=4_123_000_000 if run.architecture == "a" else 4_121_000_000) for run in tied]
    assert r"\bfseries" not in text_of(tied)
    assert r"\bfseries" not in text_of(nearly, *shown)
    clear = runs_of(make_record, {"a": 0.9, "b": 0.3})
    assert r"\bfseries" in text_of(clear, *shown)
    single = summarise(make_record("c", 0, 0.95)[0])
    assert r"\bfseries" not in text_of([*clear, single], *shown)


def test_a_latency_that_is_not_the_lowest_printed_is_not_bold(runs):
    slow = [run for run in runs if run.architecture == "pspnet_r50-d8"]
    slow = [run._replace(latency_unsteady="drift", latency_ms=4.0) if run in slow else run for run in runs]
    assert r"\bfseries" not in text_of(slow, "architecture", "latency_ms")


def test_columns_are_chosen(runs):
    text = text_of(runs, "architecture", "params", "status")
    assert r"Architecture & {Params} & Status \\" in text
    assert "out of memory" in text
    assert r"\multicolumn" not in text


def test_every_row_has_as_many_cells_as_the_heading(runs):
    """Of a run that failed, too, whose status takes the place of its figures or has a column of its own."""
    for columns in ((), ("architecture", "mIoU", "sd", "params"), ("architecture", "status", "mIoU", "sd", "params")):
        text = text_of(runs, *columns)
        lines = [line for line in text.splitlines() if line.endswith(r"\\")]
        counts = {line.count(" & ") + line.count(r"\multicolumn{2}") for line in lines}
        assert len(lines) >= 4
        assert len(counts) == 1, text


def test_a_title_of_several_words_has_two_lines(runs):
    text = text_of(runs, "architecture", "miou_void_ignored_percent", "device")
    assert r"Architecture & {mIoU,} & Device \\" in text
    assert r" & {void ignored (\%)} &  \\" in text


def test_texts_are_broken_into_as_many_lines_as_they_need(runs):
    """A part has fewer rows where a text other than the name takes several lines."""
    many = [
        runs[0]._replace(architecture=f"net_{index}", device="A processor of many words, " * 12) for index in range(60)
    ]
    assert text_of(many, "architecture", "device").count(r"\begin{table") > text_of(many).count(r"\begin{table")


def test_equal_seeds_are_in_the_caption(runs):
    fine = [run for run in runs if run.status == "ok"]
    assert "Seeds" not in text_of(fine)
    assert "mean and standard deviation over 3 seeds" in text_of(fine)
    assert "{Seeds}" in text_of(fine[:-1])
    single = [run for run in fine if run.seed == 0]
    assert "of one seed" in text_of(single)
    assert r"\pm" not in text_of(single)


def test_the_float_is_as_wide_as_its_columns(runs):
    assert r"\begin{table}" in text_of(runs, "architecture", "mIoU")
    assert r"\begin{table*}" in text_of(runs)
    assert r"\begin{table*}" in text_of(runs, "architecture", "mIoU", environment="table*")
    long = text_of(runs, environment="longtable")
    assert (long.count(r"\begin{longtable}"), long.count(r"\endhead"), r"\begin{table" in long) == (1, 1, False)


def test_more_rows_than_a_page_are_parts(runs):
    many = [runs[0]._replace(architecture=f"net_{index}", run_id=f"{index:016x}") for index in range(100)]
    text = text_of(many)
    assert text.count(r"\begin{table") == 3
    assert (text.count(r"\caption"), text.count(r"Table~\ref{tab:x} (continued)")) == (1, 2)
    assert all(len(re.findall(rf"net\\_{index}\b", text)) == 1 for index in range(100))


def test_a_long_name_is_broken_into_lines(runs):
    name = "mmseg:mask2former_swin-l-in22k-384x384-pre_8xb2-160k_ade20k-640x640"
    long = [run._replace(architecture=name) for run in runs[:1]]
    assert r"\raggedright\arraybackslash}p{" in text_of(long)
    assert r"mask2former\_\allowbreak{}swin" in text_of(long)
    assert r"\allowbreak" not in text_of(runs, caption="")


def test_long_words_and_names_beyond_latin_can_be_broken_and_accents_not():
    assert breakable("deeplabv3plus_r50") == r"deeplabv3plus\_\allowbreak{}r50"
    assert breakable("n" * 20) == r"nnnnnnnn\allowbreak{}nnnnnnnn\allowbreak{}nnnn"
    assert breakable("中文") == r"U+4E2D\allowbreak{}U+6587"
    assert breakable("ża") == r"{\.z}a"
    assert all(breakable(text).replace(r"\allowbreak{}", "") == escaped(text) for text in NASTY)


def test_caption_and_label(runs):
    text = text_of(runs, caption="50 % of a_b", label="tab:my-own")
    assert r"\caption{50 \% of a\_b}\label{tab:my-own}" in text
    assert r"\caption{As \cite{x}}" in text_of(runs, caption=r"As \cite{x}")
    with pytest.raises(UserError, match="leave out '}'"):
        text_of(runs, label="a}")


@pytest.mark.parametrize(
    "caption", ["x \\", "\\emph{x", "}\\emph{", "\\emph{x}}", "\\emph{x} 50%", "a & \\b", "#1 \\b", "\\b $x"]
)
def test_a_caption_that_cannot_compile_is_refused_in_one_line(runs, caption):
    with pytest.raises(UserError, match=r"--caption .* does not compile with [^\n]+$"):
        text_of(runs, caption=caption)


def test_a_caption_of_latex_is_kept(runs):
    caption = r"\emph{50\,\% of \{a\}\_b} \& $x_1$~\cite{x}"
    assert rf"\caption{{{caption}}}" in text_of(runs, caption=caption)
    assert r"\caption{\emph{a} b}" in text_of(runs, caption="\\emph{a}\n\nb")  # a paragraph cannot be in a caption


def test_special_characters_are_escaped():
    assert escaped("a\\b~c^d&e%f$g#h_i{j}") == (
        r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\&e\%f\$g\#h\_i\textbraceleft{}j\textbraceright{}"
    )
    assert escaped("é ñ Å ş") == r"{\'e} {\~n} {\r A} {\c s}"
    assert escaped("\N{CJK UNIFIED IDEOGRAPH-4E2D}") == "U+4E2D"
    assert all(escaped(text).isascii() for text in NASTY)
    assert all(escaped(text).count("{") == escaped(text).count("}") for text in NASTY)


def test_widths_are_no_less_than_those_of_computer_modern():
    """By the metrics of cmr10: advance widths in em of 1000."""
    known = {"0123456789": 50, "abcdefghijklmnopqrstuvwxyz": 127.6, "Architecture": 56.7, "mIoU": 26.5}
    for text, points in known.items():
        assert points <= width(text) <= 1.3 * points


def compiled(folder, tables, bibliography, columns="twocolumn"):
    """Compile tables in an article with the packages that they say they need; return the log, and BibTeX's."""
    for name in ("pdflatex", "bibtex"):
        if shutil.which(name) is None:
            pytest.skip(f"no {name}: apt-get install texlive-latex-recommended texlive-science")
    for package in ("booktabs", "siunitx", "longtable"):
        if not subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True, check=False).stdout:
            pytest.skip(f"no {package}.sty: apt-get install texlive-latex-recommended texlive-science")
    packages = re.search(r"needs \\usepackage\{(.*?)\}", tables + bibliography)
    (folder / "table.tex").write_text(tables, encoding="utf-8")
    (folder / "refs.bib").write_text(bibliography, encoding="utf-8")
    (folder / "paper.tex").write_text(
        rf"\documentclass[{columns}]{{article}}\usepackage{{{packages[1]}}}"
        r"""
\begin{document}
Text.
\input{table}
\bibliographystyle{plain}
\bibliography{refs}
\end{document}
"""
    )

    def run(*command):
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)

    latex = ("pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper")
    run(*latex)
    bibtex = run("bibtex", "paper").stdout
    run(*latex)
    done = run(*latex)
    assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "paper.log").read_text(errors="replace"), bibtex


def complaints(log, bibtex):
    """Return overfull boxes of more than 5 pt, undefined references and what BibTeX warns of."""
    boxes = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    found = [f"overfull by {points} pt" for points in boxes if points > 5]
    found += re.findall(r"^(?:LaTeX Warning: .*(?:undefined|too large|multiply).*|! .*)$", log, re.MULTILINE)
    return found + re.findall(r"^Warning--.*|.*error message.*", bibtex, re.MULTILINE)


def written(tmp_path, results, *words, cited=()):
    """Print tables and references of a store, as a user does."""
    table, refs = tmp_path / "t.tex", tmp_path / "r.bib"
    assert main(["leaderboard", "--format", "latex", "--results", str(results), "-o", str(table), *words]) == 0
    assert main(["cite", "--results", str(results), "-o", str(refs), *cited]) == 0
    return table.read_text(encoding="utf-8"), refs.read_text(encoding="utf-8")


@pytest.mark.latex
@pytest.mark.parametrize(
    "rows", [(), ("enet", "espnet", "espnet-c", "segnet", "liteseg"), ("*",)], ids=["run", "five", "all"]
)
def test_the_committed_leaderboards_compile(tmp_path, rows):
    results = Path(__file__).parents[2] / "results"
    if not results.is_dir():
        pytest.skip("no checkout")
    chosen = ["-p", "camvid_180x240_cpu"] if rows else []
    words = [*chosen, *(["--rows", *rows] if rows else [])]
    log, bibtex = compiled(tmp_path, *written(tmp_path, results, *words, cited=[*rows, *chosen]))
    assert complaints(log, bibtex) == []


@pytest.mark.latex
def test_every_network_of_ours_and_the_longest_names_compile(tmp_path, store, make_record):
    longest = sorted(catalog.zoo(), key=len)[-3:]
    names = [*catalog.architectures(), *longest]
    for index, name in enumerate(names):
        for seed in range(2):
            store.add(*make_record(name, seed, 0.3 + index / 100 + seed / 300))
    log, bibtex = compiled(tmp_path, *written(tmp_path, store.root))
    assert complaints(log, bibtex) == []
    store.add(*make_record("unet_failed", status="out_of_memory"))
    store.add(*make_record("n" * 120, 0, 0.2))
    wide = ["--columns", *(column.name for column in COLUMNS), "method", "device"]
    log, bibtex = compiled(tmp_path, *written(tmp_path, store.root, *wide))
    assert complaints(log, bibtex) == []


@pytest.mark.latex
@pytest.mark.parametrize("rows", [(), ("segnet-basic", "enet"), ("*",)], ids=["run", "two", "all"])
def test_tables_by_default_fit_a_document_of_one_column(tmp_path, store, make_record, rows):
    for index, name in enumerate(["segnet-basic", "enet", "psanet-distribute_r50-d8", "mmseg:bisenetv1"]):
        for seed in range(3):
            store.add(*make_record(name, seed, 0.3 + index / 10 + seed / 300, macs=10**12, latency_ms=1234.5))
    words = ["--rows", *rows] if rows else []
    log, bibtex = compiled(tmp_path, *written(tmp_path, store.root, *words, cited=rows), columns="onecolumn")
    assert complaints(log, bibtex) == []


def test_the_command_of_the_comment_prints_all_that_is_cited(store, make_record, capsys):
    for name in ("enet", "mmseg:bisenetv1", "timm:convnext_tiny+ppm"):
        store.add(*make_record(name))
    for words in ([], ["--rows", "*"], ["--rows", "psp*", "enet"], ["-p", "shapes_64x64_smoke", "--mix-code"]):
        assert main(["leaderboard", "--format", "latex", "--results", str(store.root), *words]) == 0
        table = capsys.readouterr().out
        (command,) = re.findall(r"^% references: (.*)$", table, re.MULTILINE)
        assert main(shlex.split(command)[1:]) == 0
        entries = set(re.findall(r"^@\w+\{([^,]+),", capsys.readouterr().out, re.MULTILINE))
        assert {key for keys in re.findall(r"\\cite\{([^}]+)\}", table) for key in keys.split(",")} <= entries


@pytest.mark.latex
def test_a_longtable_compiles_in_one_column(tmp_path, store, make_record):
    for index, name in enumerate(catalog.architectures()):
        store.add(*make_record(name, 0, 0.3 + index / 100))
    log, bibtex = compiled(tmp_path, *written(tmp_path, store.root, "--float", "longtable"), columns="onecolumn")
    assert complaints(log, bibtex) == []


def test_the_caption_says_what_latencies_are_not_compared(runs):
    other = runs[0]._replace(architecture="theirs", method="external", device="A100")
    text = " ".join(text_of([*runs, other]).split())
    assert "Latencies are of 2 devices, and do not compare." in text
    assert "External networks were not trained here, and their costs are as stated." in text


def test_a_longtable_that_is_too_wide_says_so(runs):
    wide = text_of(runs, *(column.name for column in COLUMNS), environment="longtable")
    assert re.search(r"^% \d+ pt wider than a text of 345 pt: choose fewer columns", wide, re.MULTILINE)
    assert "wider than" not in text_of(runs, environment="longtable")


@pytest.mark.latex
def test_nasty_names_compile(tmp_path, runs):
    names = [runs[0]._replace(architecture=name, method="external") for name in NASTY]
    text = text_of(names, caption=" ".join(NASTY[:1] + NASTY[3:5]))
    log, bibtex = compiled(tmp_path, text + r"\nocite{*}", "@misc{x, title = {X}, author = {Y}, year = 2026}")
    assert complaints(log, bibtex) == []


@pytest.mark.latex
def test_every_entry_compiles(tmp_path):
    """Papers of all methods, datasets, libraries and networks of the zoo; they stretch no line of 229.5 pt too far."""
    from benchmark.reporting import citation

    log, bibtex = compiled(tmp_path, r"\nocite{*}\sloppy", citation.bibtex(citation.papers()))
    assert complaints(log, bibtex) == []

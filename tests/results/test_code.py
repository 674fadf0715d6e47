"""The digest names the code that can move a number: nothing else moves it, and no such code is forgotten."""

import ast
import io
import json
import shutil
import subprocess
import sys
import tokenize

import pytest

from benchmark.results import code

FILES = sorted(path.relative_to(code.PACKAGE).as_posix() for path in code.PACKAGE.rglob("*.py"))


@pytest.fixture
def package(tmp_path):
    """A copy of the package that may be changed, and its digest."""
    copy = tmp_path / "benchmark"
    shutil.copytree(code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def changed(package, name, change):
    path = package / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(change(path.read_text() if path.exists() else ""))
    return code.digest(package) != code.digest()


def test_a_wheel_has_the_digest_of_a_checkout(package):
    """A wheel holds the configs as well, compiled files may be there or not, and lines end as the platform has it."""
    configs = package / "model_configs" / "enet"
    configs.mkdir(parents=True, exist_ok=True)  # a wheel that is installed has them
    (configs / "enet.py").write_text("model = dict()\n")
    (package / "engine" / "__pycache__").mkdir()
    (package / "engine" / "__pycache__" / "loop.cpython-311.pyc").write_bytes(b"\0")
    for path in package.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert code.digest(package) == code.digest()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("__init__.py", lambda text: text.replace("__version__ = ", "__version__ = 'x' + ")),
        ("cli/run.py", lambda text: f"{text}\nx = 1\n"),
        ("analysis/new.py", lambda text: "x = 1\n"),
        ("reporting/page.py", lambda text: f"{text}\nx = 1\n"),
        ("results/record.py", lambda text: f"{text}\nx = 1\n"),
        ("models/heads/enet.py", lambda text: f'"""Another docstring."""\n{text}\n# and a comment\n\n\n'),
    ],
)
def test_what_moves_no_number(package, name, change):
    assert not changed(package, name, change)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("models/heads/enet.py", lambda text: f"{text}\nx = 1\n"),
        ("models/heads/new.py", lambda text: "x = 1\n"),
        ("new.py", lambda text: ""),
        ("newer/module.py", lambda text: ""),
        ("engine/loop.py", lambda text: text.replace("1", "2", 1)),
        ("confusion.py", lambda text: text.replace("100", "101", 1)),
        ("datasets/augmentation.py", lambda text: f"{text}\nx = 'a'\n"),
        ("backend/ops/psa_mask.py", lambda text: f"{text}\nx = 1\n"),
        ("postprocessing/crf.py", lambda text: f"{text}\nx = 1\n"),
        ("profiling/latency.py", lambda text: f"{text}\nx = 1\n"),
        ("conversion/espnet.py", lambda text: f"{text}\nx = 1\n"),
        ("execution/run.py", lambda text: f"{text}\nx = 1\n"),
    ],
)
def test_what_can_move_a_number(package, name, change):
    assert changed(package, name, change)


def test_a_file_under_another_name_is_other_code(package):
    (package / "confusion.py").rename(package / "confusions.py")
    assert code.digest(package) != code.digest()


def _rewritten(source):
    """The source with other comments, docstrings and blank lines, as Python's own parser finds them."""
    lines = [*source.split("\n"), ""]
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ):
            continue
        first, last = node.lineno - 1, node.end_lineno
        indent = " " * node.col_offset
        if lines[first].startswith(f'{indent}"""'):  # not behind a colon or a semicolon
            lines[first] = (
                f'{indent}"""Something\n\n{indent}# else."""  # and why' + lines[last - 1][node.end_col_offset :]
            )
            lines[first + 1 : last] = [""] * (last - first - 1)
    source = "\n".join(lines)
    comments = [
        each for each in tokenize.generate_tokens(io.StringIO(source).readline) if each.type == tokenize.COMMENT
    ]
    lines = source.split("\n")
    for each in comments:
        row, column = each.start
        lines[row - 1] = f'{lines[row - 1][:column]}# another "comment\'s" ({each.start})'
    return "\n".join(lines)


def test_comments_and_docstrings_of_every_file_do_not_count():
    for name in filter(code.counts, FILES):
        source = (code.PACKAGE / name).read_text()
        other = _rewritten(source)
        assert other != source or "#" not in source
        assert code.code(other) == code.code(source), name


def test_nothing_else_is_cut_out():
    """Every name, number, operator and string that is no statement of its own counts."""
    source = (code.PACKAGE / "confusion.py").read_text()
    known = code.code(source)
    ends = {
        (node.end_lineno, node.end_col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    lines = source.split("\n")
    kinds = {tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.STRING}
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    tried = [each for each in tokens if each.type in kinds and each.start[0] == each.end[0] and each.end not in ends]
    assert len(tried) > 300
    for each in tried:
        row, (first, last) = each.start[0] - 1, (each.start[1], each.end[1])
        text = [*lines[:row], f"{lines[row][:first]}_{lines[row][last:]}", *lines[row + 1 :]]
        assert code.code("\n".join(text)) != known, each


@pytest.mark.parametrize(
    ("source", "strings"),
    [
        ('x = 1\n"""of x"""\ny = 2\n', []),
        ('def f():\n    """Do."""\n', []),
        ('"""a"""  # b\n', []),
        ('"""a \\""" # b """\n', []),
        ("'a'\n", []),
        ('f(\n    """a""",\n    """b"""\n)\n', ['"""a"""', '"""b"""']),
        ('f(\n    """a"""\n    """b"""\n)\n', ['"""a"""', '"""b"""']),
        ('x = """a\n\n# b"""\n', ['"""a\n\n# b"""']),
        ('x = "a" "b"\n', ['"a"', '"b"']),
        ('x = \\\n    "a"\n', ['"a"']),
        ('"a".join(b)\n', ['"a"']),
        ('"a" % b\n', ['"a"']),
        ('x = ("#")  # "c"\n', ['"#"']),
        ("""x = "'" + '"' + r"\\\\" + '\\''\n""", ['"\'"', "'\"'", '"\\\\"', "'\\''"]),
        ("x = '''a''' ''  # '''\n", ["'''a'''", "''"]),
        ('f"""{x["a"]}"""\n', ['"""{x["a"]}"""']),
    ],
)
def test_strings_that_count(source, strings):
    ast.parse(source)
    assert code.code(source)[1] == strings


def test_the_rule_does_not_drift(tmp_path):
    """Under any version of Python: another value here makes all results those of other code."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "a.py").write_text(
        '"""Doc."""\n\nX = f"{1 + 1}"  # c\n\n\ndef f():\n    """Doc."""\n    return [X]\n'
    )
    (tmp_path / "errors.py").write_text("x = 1\n")
    assert code.digest(tmp_path) == "3702948d1c04591a74896945aa152d8f42e6b314e0259656db76fc1326ecb1e1"


def test_what_is_declared_is_there():
    names = [each for each in code.SERVICES + code.UNUSED if each != "model_configs"]  # which a checkout has beside it
    assert [each for each in names if not (code.PACKAGE / each).exists()] == []
    assert [each for each in names if (code.PACKAGE / each).is_dir() and each.endswith(".py")] == []


TRAINING = """
import json, sys
from pathlib import Path
from benchmark.execution import worker
from benchmark.execution.spec import Spec

folder = Path(sys.argv[1])
spec = Spec("enet", "shapes_64x64_smoke", 0, "cpu", True, True, {"max_iters": 2}, None, folder, folder, None)


class Parent:
    def send(self, message):
        if message[0] == "stored":
            names = (name for name in sys.modules if name.split(".")[0] == "benchmark")
            files = (Path(sys.modules[name].__file__) for name in names)
            Path(folder, "loaded.json").write_text(json.dumps(sorted(map(str, files))))


worker.work(spec, Parent())
"""


def test_every_module_that_a_training_loads_counts_or_is_declared(tmp_path):
    """A module that begins to take part in a run, wherever it is, cannot be left out of the digest unnoticed."""
    subprocess.run([sys.executable, "-c", TRAINING, str(tmp_path)], check=True, timeout=300, cwd=tmp_path)
    loaded = json.loads((tmp_path / "loaded.json").read_text())
    names = {str(code.PACKAGE.joinpath(each).relative_to(code.PACKAGE)) for each in loaded}
    assert {"engine/session.py", "models/heads/enet.py", "confusion.py", "execution/run.py"} <= names

    def declared(name, where):
        return any(name == each or name.startswith(f"{each}/") for each in where)

    assert sorted(name for name in names if declared(name, code.UNUSED)) == []
    assert all(code.counts(name) != declared(name, code.SERVICES) for name in names)


def test_it_is_computed_once_a_process(monkeypatch):
    known = code.digest()
    monkeypatch.setattr(code, "code", lambda source: pytest.fail("computed again"))
    assert code.digest() == known

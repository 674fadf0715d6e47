"""The log of a run is of limited size, whatever is printed, and never in the way."""

import pytest

from benchmark.execution import log, outcome
from benchmark.execution.log import HEAD, OMITTED, STARTED, TAIL, Log


def _filled(path, chunks):
    found = Log(path)
    for chunk in chunks:
        found.write(chunk)
    found.close()
    return found


def test_a_short_output_is_kept_and_that_of_the_next_process_follows(tmp_path):
    path = tmp_path / log.FILE
    _filled(path, [b"one\n", b"two\n"])
    assert _filled(path, [b"three\n"]).last == b"three\n"
    assert path.read_bytes() == b"one\ntwo\n" + STARTED + b"three\n"
    assert log.last_output(path) == b"three\n"


def test_a_process_that_prints_nothing_has_not_printed_what_the_one_before_has(tmp_path):
    path = tmp_path / log.FILE
    _filled(path, [b"one\n"])
    assert log.last_output(path) == b"one\n"
    assert _filled(path, []).last == b""
    assert log.last_output(path) == b""
    assert log.last_output(tmp_path / "none") == b""


@pytest.mark.parametrize("size", [1000, 1 << 16, 1 << 18])
def test_of_a_long_output_the_beginning_and_the_end_are_kept(tmp_path, size):
    path, whole = tmp_path / log.FILE, bytearray()
    found = Log(path)
    while len(whole) < 9 * TAIL:
        chunk = f"{len(whole):{size - 1}}\n".encode()
        whole += chunk
        found.write(chunk)
        assert path.stat().st_size <= HEAD + len(OMITTED) + 2 * TAIL
    found.close()
    content = path.read_bytes()
    head, tail = content.split(OMITTED)
    assert head == whole[:HEAD]
    assert len(tail) >= TAIL
    assert whole.endswith(tail)


def test_output_waits_for_the_folder_of_the_run(tmp_path):
    """Which the run makes, and removes when it has succeeded."""
    path = tmp_path / "run" / log.FILE
    found = Log(path)
    found.write(b"early\n")
    path.parent.mkdir()
    found.write(b"later\n")
    path.unlink()
    path.parent.rmdir()
    found.write(b"at last\n")
    found.close()
    assert not path.parent.exists()
    assert found.last == b"early\nlater\nat last\n"


def test_a_log_that_cannot_be_written_is_none(tmp_path):
    (tmp_path / log.FILE).mkdir()
    assert _filled(tmp_path / log.FILE, [b"one", b"two"]).last == b"onetwo"


def test_a_record_has_the_last_lines():
    output = "".join(f"{number}\t\x1b[1m\u202e\r\n" for number in range(99)).encode() + b"\xff end"
    lines = outcome.log_tail(output)
    assert (len(lines), lines[0], lines[-1]) == (outcome.LOG_LINES, "80 [1m", "\ufffd end")
    assert sum(map(len, outcome.log_tail(b"x" * 999 + b"\n" + b"y" * 99_999))) <= outcome.LOG_CHARACTERS
    assert outcome.log_tail(b"\n \n") == []


def test_of_stacks_it_has_the_innermost_calls_of_the_main_thread():
    other = "Thread 0x0000 (most recent call first):\n" + "  File a\n" * 30
    main = "Current thread 0x0001 (most recent call first):\n  File inner\n" + "  File outer\n" * 40
    lines = outcome.log_tail(f"{other}\n{main}".encode())
    assert len(lines) == outcome.LOG_LINES
    assert lines[1:3] == ["Current thread 0x0001 (most recent call first):", "  File inner"]

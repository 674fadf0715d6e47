"""Atomic replacement of files, and what is written to what is no regular file."""

import os
import stat
import threading
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.files.atomic import replacing, sweep


def write(path, text="new"):
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    target, link, chain = tmp_path / "deep" / "target", tmp_path / "link", tmp_path / "chain"
    link.symlink_to(target)
    chain.symlink_to(link)
    write(chain, "made")  # where there is none yet
    write(link)
    assert (link.is_symlink(), chain.is_symlink(), target.read_text()) == (True, True, "new")
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_pipe_gets_the_content(tmp_path):
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write(pipe, "through")
    reader.join()
    assert heard == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_stays_a_device(device, tmp_path):
    link = tmp_path / "device"  # so that a fault removes the link and not the device
    link.symlink_to(device)
    if device == "/dev/full":
        with pytest.raises(UserError, match="No space left"):
            write(link)
    else:
        write(link)
    assert link.is_symlink()
    assert stat.S_ISCHR(Path(device).stat().st_mode)


def test_a_folder_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="Is a directory"), replacing(tmp_path):
        raise AssertionError
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="cannot write"):
        write(loop)


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o600)
    write(path)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_a_name_of_the_greatest_length_is_written_and_a_longer_one_is_one_line(tmp_path):
    write(tmp_path / ("a" * 255))
    write(tmp_path / ("\u00e9" * 127))
    with pytest.raises(UserError, match="File name too long") as caught:
        write(tmp_path / ("b" * 3000))
    assert len(str(caught.value)) < 300
    assert len(list(tmp_path.iterdir())) == 2


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ValueError, match="no JSON"), replacing(path) as temporary:
        fail(temporary)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def fail(temporary):
    temporary.write_text("half")
    raise ValueError("no JSON")


def test_a_file_that_is_swept_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    """Another process may look for abandoned files between the creation of one and its lock."""
    open_, swept = os.open, []

    def open_and_sweep(path, flags, *mode):
        handle = open_(path, flags, *mode)
        if flags & os.O_CREAT and not swept:
            swept.append(path)
            sweep(tmp_path)
            assert not path.exists()
        return handle

    monkeypatch.setattr(os, "open", open_and_sweep)
    with replacing(tmp_path / "now") as temporary:
        temporary.write_text("whole")
        sweep(tmp_path)
    assert swept
    assert (tmp_path / "now").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["now"]

"""Against a server on this machine that can do, and fail to do, what servers do."""

import errno
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmark.datasets import download
from benchmark.datasets.download import fetch
from benchmark.errors import UserError

CONTENT = bytes(range(256)) * 8000  # 2 MB
LIMIT = 4 << 20


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path.

    Attributes:
        content: what there is.
        etag: its ETag.
        ranges: whether Range is honoured.
        length: whether Content-Length is sent.
        breaks: after how many bytes of the body each of the next answers breaks off.
        answers: status codes of the next answers.
        requests_seen: headers of each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.ranges, self.length = CONTENT, '"one"', True, True
        self.breaks, self.answers, self.requests_seen = [], [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests_seen.append(dict(self.headers))
        if server.answers:
            self.send_response(server.answers.pop(0))
            self.end_headers()
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        body = server.content[start:]
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.breaks.pop(0)] if server.breaks else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "set.zip"


def get(server, target, pauses=(0, 0, 0), **kwargs):
    fetch(server.url, target, limit=LIMIT, pauses=pauses, **kwargs)


def ranges(server):
    return [headers.get("Range") for headers in server.requests_seen]


def test_downloads_and_tells_how_far_it_is(server, target):
    steps = []
    get(server, target, progress=lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["set.zip"]
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert steps == sorted(steps)
    assert server.requests_seen[0]["User-Agent"].startswith("segbench/")


def test_size_need_not_be_known(server, target):
    server.length = False
    steps = []
    get(server, target, progress=lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), None)


def test_goes_on_where_the_connection_broke(server, target):
    server.breaks = [500_000, 300_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=500000-", "bytes=800000-"]


def test_later_call_goes_on_too(server, target):
    server.breaks = [500_000]
    with pytest.raises(UserError, match="the connection broke after 500000 of 2048000 bytes"):
        get(server, target, pauses=())
    assert not target.exists()
    steps = []
    get(server, target, progress=lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=500000-"]
    assert steps[0] == (500_000, len(CONTENT))


def test_starts_anew_where_the_server_knows_no_ranges(server, target):
    server.ranges, server.breaks = False, [500_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=500000-"]


def test_starts_anew_where_the_file_has_changed(server, target):
    server.breaks = [500_000]
    with pytest.raises(UserError):
        get(server, target, pauses=())
    server.content, server.etag = CONTENT[::-1], '"two"'
    get(server, target)
    assert target.read_bytes() == CONTENT[::-1]


def test_starts_anew_for_another_address(server, target):
    server.breaks = [500_000]
    with pytest.raises(UserError):
        get(server, target, pauses=())
    fetch(server.url + "?other", target, limit=LIMIT, pauses=())
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_does_not_go_on_without_a_strong_validator(server, target, etag):
    server.etag, server.breaks = etag, [500_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("memo", ["", "[]", "{}", '{"url": 1, "validator": 2}', "\xff"])
def test_damaged_memo_is_not_believed(server, target, memo):
    target.with_name("set.zip.part").write_bytes(b"something")
    target.with_name("set.zip.part.json").write_text(memo, encoding="latin-1")
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_part_longer_than_the_file_is_dropped(server, target):
    target.with_name("set.zip.part").write_bytes(CONTENT + b"more")
    memo = {"url": server.url, "validator": server.etag}
    target.with_name("set.zip.part.json").write_text(json.dumps(memo))
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={len(CONTENT) + 4}-", None]


def test_busy_server_is_asked_again(server, target):
    server.answers = [503, 429, 500]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests_seen) == 4


def test_patience_ends(server, target):
    server.answers = [503] * 10
    with pytest.raises(UserError, match="answered 503 Service Unavailable; try again"):
        get(server, target)
    assert len(server.requests_seen) == 4


@pytest.mark.parametrize("status", [404, 403, 410])
def test_refusal_is_final(server, target, status):
    server.answers = [status]
    with pytest.raises(UserError, match=rf"set\.zip: the server answered {status} "):
        get(server, target)
    assert len(server.requests_seen) == 1
    assert list(target.parent.iterdir()) == []


def test_server_that_is_not_there_is_said(target):
    with Server() as server:
        url = server.url
    with pytest.raises(UserError, match=r"set\.zip: .*refused"):
        fetch(url, target, limit=LIMIT, pauses=(0,))


def test_silence_ends_too(server, target, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    monkeypatch.setattr(Handler, "do_GET", lambda self: threading.Event().wait(0.5))
    with pytest.raises(UserError, match="timed out"):
        get(server, target, pauses=())


def test_what_is_no_address_is_said(target):
    with pytest.raises(UserError, match="is not an address"):
        fetch("http://[", target, limit=LIMIT)


@pytest.mark.parametrize("length", [True, False])
def test_endless_body_ends_at_the_limit(server, target, length):
    server.content, server.length = bytes(LIMIT + 1), length
    with pytest.raises(UserError, match="size limit of 4194304 bytes"):
        get(server, target)
    assert len(server.requests_seen) == 1
    assert not target.exists()


def test_full_disk_is_said(server, target, monkeypatch):
    class FullDisk:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = type(target).open
    monkeypatch.setattr(
        type(target),
        "open",
        lambda path, mode="r", *a, **k: FullDisk() if mode == "wb" else opened(path, mode, *a, **k),
    )
    with pytest.raises(UserError, match=r"cannot write .*set\.zip\.part: No space left on device"):
        get(server, target)
    assert len(server.requests_seen) == 1


def test_folder_that_is_not_there_is_said(server, tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        get(server, tmp_path / "nowhere" / "set.zip")

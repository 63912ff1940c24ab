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

import importlib.util
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from sktransfer import demo
from sktransfer.demo._steps import GUIDE, NEXT, _label_counts, draw_rows
from sktransfer.exceptions import MissingDependencyError, UnknownBackboneError

needs_elpv = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None,
    reason='no pictures: pip install "sktransfer[demo]"',
)
COLUMNS = ["balanced accuracy", "ROC AUC", "seconds", "forward passes"]


def check_table(table, n_rows, baseline):
    assert list(table.columns) == COLUMNS
    assert table["forward passes"].tolist() == [n_rows, 0, 0, 0, 0, 0]
    assert (table["seconds"] > 0).all()
    assert table.index[2] == baseline
    models = table.iloc[2:]
    assert models[COLUMNS[:2]].notna().all(axis=None)
    assert models[COLUMNS[:2]].ge(0).all(axis=None)
    assert models[COLUMNS[:2]].le(1).all(axis=None)
    # The first two rows are steps, not models.
    assert table.iloc[:2][COLUMNS[:2]].isna().all(axis=None)


def check_pictures(folder, names):
    from PIL import Image

    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        with Image.open(folder / name) as image:
            assert image.format == "PNG"
            assert min(image.size) >= 500
            assert len(image.convert("RGB").getcolors(10**6)) > 10  # not empty


@pytest.fixture
def sentences():
    """Texts whose words tell the class, and the classes: "hot" is rarer."""
    rng = np.random.default_rng(0)
    words = {"hot": ["tea", "soup", "sun"], "cold": ["ice", "snow", "frost"]}
    labels = ["hot"] * 20 + ["cold"] * 40
    texts = [
        f"{rng.choice(words[label])} and {rng.choice(words[label])} {i}"
        for i, label in enumerate(labels)
    ]
    return texts, labels


def test_the_pages_that_the_demo_ends_with_are_there():
    for page in ("index", *(page for _, page in NEXT.values())):
        assert (REPOSITORY / "docs" / "guide" / f"{page}.md").is_file()
    urls = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["urls"]
    assert GUIDE.startswith(urls["Documentation"])


@needs_elpv
def test_image_demo_sends_each_photo_once_and_a_second_run_none(tmp_path, capsys):
    options = {
        "out": tmp_path / "figures",
        "cache": tmp_path / "cache",
        "rows": 60,
        "backbone": "tiny-cnn",
    }
    table = demo.run_images(**options)
    check_table(table, 60, "type only, no photos")
    check_pictures(tmp_path / "figures", ["photo-labels.png", "photo-roc.png"])
    printed = capsys.readouterr()
    assert "60 of its 2,624 photos" in printed.out
    assert "CC BY-NC-SA 4.0" in printed.out
    assert str(tmp_path / "cache") in printed.out
    assert "knew 0 of 60 different photos; 60 went" in printed.out
    assert "60/60" in printed.err  # the progress bar
    assert f"your own images: {GUIDE}/image_folder.html" in printed.out

    again = demo.run_images(**options)
    assert again["forward passes"].sum() == 0
    assert "knew 60 of 60 different photos; 0 went" in capsys.readouterr().out
    assert again[COLUMNS[:2]].equals(table[COLUMNS[:2]])


def test_text_demo_sends_each_text_once_and_a_second_run_none(
    sentences, tmp_path, capsys
):
    options = {
        "out": tmp_path / "figures",
        "cache": tmp_path / "cache",
        "backbone": "tiny-bert",
    }
    table = demo.run_texts(*sentences, **options)
    check_table(table, 60, "tf-idf, no network")
    assert table.loc["tf-idf, no network", "balanced accuracy"] > 0.9
    assert "knew 0 of 60 different texts; 60 went" in capsys.readouterr().out
    check_pictures(tmp_path / "figures", ["text-labels.png", "text-roc.png"])

    again = demo.run_texts(*sentences, **options)
    assert again["forward passes"].sum() == 0
    assert again[COLUMNS[:2]].equals(table[COLUMNS[:2]])


def test_the_printed_table_marks_the_choice_of_the_grid(sentences, tmp_path, capsys):
    demo.run_texts(*sentences, out=tmp_path, cache=tmp_path, backbone="tiny-bert")
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if " *" in line]
    assert len(marked) == 1
    assert marked[0].startswith("text, ")
    assert any(line.startswith("* the grid's choice") for line in lines)


def test_text_demo_handles_more_than_two_categories(tmp_path):
    words = ["tea", "milk", "beer"]
    texts = [f"{word} {i}" for i in range(15) for word in words]
    table = demo.run_texts(
        texts,
        [f"class {word}" for _ in range(15) for word in words],
        out=tmp_path / "figures",
        cache=tmp_path / "cache",
        backbone="tiny-bert",
    )
    check_table(table, 45, "tf-idf, no network")
    check_pictures(tmp_path / "figures", ["text-labels.png"])  # no ROC curve


def test_text_demo_takes_null_texts_and_labels_of_any_type(sentences, tmp_path):
    texts, labels = sentences
    table = demo.run_texts(
        [None, *texts[1:]],
        np.array(labels) == "hot",
        out=tmp_path,
        cache=tmp_path / "cache",
        backbone="tiny-bert",
    )
    assert table["ROC AUC"].iloc[2:].notna().all()


def test_a_quiet_run_prints_nothing(sentences, tmp_path, capsys):
    demo.run_texts(
        *sentences, out=tmp_path, cache=tmp_path, backbone="tiny-bert", verbose=False
    )
    assert capsys.readouterr() == ("", "")


def test_figures_leave_matplotlibs_global_state_alone(sentences, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    had_pyplot = "matplotlib.pyplot" in sys.modules
    demo.run_texts(*sentences, out=tmp_path, cache=tmp_path, backbone="tiny-bert")
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_missing_matplotlib_is_told_before_anything_is_encoded(
    sentences, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"sktransfer\[demo\]"):
        demo.run_texts(*sentences, out=tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_unknown_backbone_is_told(sentences, tmp_path):
    with pytest.raises(UnknownBackboneError, match="tiny-brt"):
        demo.run_texts(*sentences, out=tmp_path, cache=tmp_path, backbone="tiny-brt")


def test_cache_folder_is_the_one_of_the_environment_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("SKTRANSFER_CACHE", str(tmp_path / "here"))
    assert demo.default_cache_dir() == tmp_path / "here"


@pytest.mark.parametrize(
    ("platform", "variable", "without_variable"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("darwin", None, "Library/Caches"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ],
)
def test_cache_folder_is_where_the_platform_keeps_caches(
    platform, variable, without_variable, monkeypatch, tmp_path
):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "caches"))
        assert demo.default_cache_dir() == tmp_path / "caches" / "sktransfer"
        monkeypatch.delenv(variable)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert demo.default_cache_dir() == tmp_path / without_variable / "sktransfer"


def write_csv(path, rows, header="what,kind"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_texts_are_read_as_they_are_written(tmp_path):
    rows = ["NA,1", "null,01"] * 10
    table = demo.read_texts(write_csv(tmp_path / "t.csv", rows), "what", "kind")
    assert list(table.columns) == ["text", "label"]
    assert set(table["text"]) == {"NA", "null"}
    assert set(table["label"]) == {"1", "01"}


def test_rows_without_category_and_rare_categories_are_left_out(tmp_path):
    rows = ["a text,a"] * 10 + ["b text,b"] * 12 + ["c text,c"] * 9 + ["none,"] * 20
    table = demo.read_texts(write_csv(tmp_path / "t.csv", rows), "what", "kind")
    assert table["label"].value_counts().to_dict() == {"a": 10, "b": 12}
    assert table.index.tolist() == list(range(22))


def test_drawn_texts_are_the_same_each_time(tmp_path):
    rows = [f"text {i},{'ab'[i % 2]}" for i in range(100)]
    path = write_csv(tmp_path / "t.csv", rows)
    first = demo.read_texts(path, "what", "kind", rows=50)
    assert len(first) == 50
    assert first.equals(demo.read_texts(path, "what", "kind", rows=50))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("words", "kind"), r"no column 'words'; .* has \['what', 'kind'\]"),
        (("what", "label"), r"no column 'label'; .* has \['what', 'kind'\]"),
        ((None, "kind"), r"texts no name is given; .* has \['what', 'kind'\]"),
        (("kind", "kind"), "both texts and categories"),
        (("kind", "what"), "has 20 different values in 20 rows"),
    ],
)
def test_unusable_columns_are_told(columns, message, tmp_path):
    rows = [f"text {i},{'ab'[i % 2]}" for i in range(20)]
    with pytest.raises(ValueError, match=message):
        demo.read_texts(write_csv(tmp_path / "t.csv", rows), *columns)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n1,2,3\n", b"a,b\n\xff\xfe,1\n"])
def test_what_is_no_csv_is_told(content, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="t.csv cannot be read as a CSV file"):
        demo.read_texts(path, "a", "b")


def test_drawn_rows_begin_with_some_of_each_class():
    y = np.array(["a"] * 500 + ["b"] * 8 + ["c"] * 2)
    for seed in range(5):
        rows = draw_rows(y, 20, 5, np.random.default_rng(seed))
        assert len(np.unique(rows)) == 20
        drawn = y[rows].tolist()
        assert drawn.count("b") >= 5
        assert drawn.count("c") == 2


def test_no_more_rows_are_drawn_than_there_are():
    rows = draw_rows(["a", "b", "b"], 10, 1, np.random.default_rng(0))
    assert rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("n_train", "n_classes", "counts"),
    [
        (2099, 2, [25, 50, 100, 200, 400, 800, 2099]),
        (7993, 77, [154, 308, 616, 1232, 2464, 4928, 7993]),
        (32, 2, [32]),
    ],
)
def test_label_counts_double_until_all(n_train, n_classes, counts):
    assert _label_counts(n_train, n_classes) == counts


@needs_elpv
@pytest.mark.slow
def test_photos_add_to_the_type_of_the_cell(tmp_path, bundled_weights):
    table = demo.run_images(out=tmp_path, cache=tmp_path / "cache", rows=300)
    gain = table["balanced accuracy"] - table.loc["type only, no photos"].iloc[0]
    assert gain["photo and type, whole network"] > 0.1


@pytest.mark.slow
def test_a_pretrained_network_finds_spam(tmp_path, bundled_weights, shared_data):
    table = demo.read_texts(
        shared_data / "sms_spam" / "train.csv", "text", "label", rows=400
    )
    scores = demo.run_texts(
        table["text"], table["label"], out=tmp_path, cache=tmp_path / "cache"
    )
    assert scores.loc["text, whole network", "ROC AUC"] > 0.95

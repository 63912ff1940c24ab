import importlib.util
import subprocess
import sys

import pytest

import sktransfer
from sktransfer import demo
from sktransfer.__main__ import main
from sktransfer.exceptions import MissingDependencyError

needs_elpv = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None,
    reason='no pictures: pip install "sktransfer[demo]"',
)


@pytest.fixture
def csv(tmp_path):
    """Write a table with the columns "what", "kind" and "price"."""
    path = tmp_path / "drinks.csv"
    lines = [f"{('tea', 'ice')[i % 2]} {i},{'hc'[i % 2]},{i}" for i in range(60)]
    path.write_text("\n".join(["what,kind,price", *lines]) + "\n")
    return str(path)


def rejected(arguments, capsys):
    """Run with bad arguments; return what is said about them."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "usage: python -m sktransfer demo" in printed.err
    return printed.err


def test_no_command_prints_help(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "usage: python -m sktransfer" in printed
    assert "demo" in printed


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == sktransfer.__version__


def test_the_package_runs_as_a_module_and_help_imports_nothing_heavy():
    code = (
        "import runpy, sys; sys.argv = ['-m']\n"
        "try:\n    runpy.run_module('sktransfer', None, '__main__', alter_sys=True)\n"
        "except SystemExit as err:\n    assert err.code == 0\n"
        "assert not {'numpy', 'sklearn', 'torch', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage: python -m sktransfer" in done.stdout


@pytest.mark.parametrize("script", ["/env/bin/sktransfer", "sktransfer.exe"])
def test_usage_names_the_script_that_was_called(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script])
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: sktransfer [-h]")


@needs_elpv
def test_image_demo_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKTRANSFER_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "a" / "figures"
    arguments = ["demo", "--rows", "60", "--backbone", "tiny-cnn", "--out", str(out)]
    assert main(arguments) == 0
    assert {path.name for path in out.iterdir()} == {
        "photo-labels.png",
        "photo-roc.png",
    }
    assert str(out / "photo-roc.png") in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir())


def test_text_demo_runs(csv, tmp_path, capsys):
    arguments = ["demo", "--text", "--csv", csv, "--text-column", "what"]
    arguments += ["--target", "kind", "--rows", "50", "--backbone", "tiny-bert"]
    arguments += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 0
    assert "50 texts in 2 categories" in capsys.readouterr().out
    assert (tmp_path / "out" / "text-labels.png").is_file()
    assert list((tmp_path / "cache").iterdir())


def test_texts_need_a_table(capsys):
    message = rejected(["demo", "--text"], capsys)
    assert "--text needs --csv, --text-column, --target" in message


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "For the column of texts no name is given"),
        (["--text-column", "what"], "For the column of categories no name is given"),
        (["--text-column", "words", "--target", "kind"], "there is no column 'words'"),
        (["--text-column", "what", "--target", "label"], "there is no column 'label'"),
    ],
)
def test_a_missing_column_is_told_with_those_there_are(
    names, said, csv, tmp_path, capsys
):
    arguments = ["demo", "--text", "--csv", csv, *names, "--out", str(tmp_path)]
    message = rejected(arguments, capsys)
    assert said in message
    assert "has ['what', 'kind', 'price']" in message


def test_a_missing_file_is_told(tmp_path, capsys):
    path = str(tmp_path / "nowhere.csv")
    arguments = ["demo", "--text", "--csv", path, "--text-column", "a", "--target", "b"]
    message = rejected([*arguments, "--out", str(tmp_path)], capsys)
    assert f"error: there is no such file: {path}" in message


@pytest.mark.parametrize("option", ["--csv", "--text-column", "--target"])
def test_table_options_are_only_for_texts(option, capsys):
    message = rejected(["demo", option, "a"], capsys)
    assert f"{option}: only with --text" in message


@pytest.mark.parametrize(
    ("value", "said"), [("39", "at least 40"), ("many", "'many' is no whole number")]
)
def test_a_bad_number_of_rows_is_told(value, said, capsys):
    assert said in rejected(["demo", "--rows", value], capsys)


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ("efficientnet_lite9", "no image backbone named 'efficientnet_lite9'"),
        ("tiny-bert", "'tiny-bert' reads texts"),
    ],
)
def test_a_refused_backbone_is_told_and_leaves_no_folder(
    backbone, said, tmp_path, capsys
):
    for out in (tmp_path, tmp_path / "a" / "b"):
        arguments = ["demo", "--backbone", backbone, "--out", str(out)]
        assert said in rejected(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_a_folder_is_refused(csv, capsys):
    for out in (csv, f"{csv}/out"):
        message = rejected(["demo", "--out", out], capsys)
        assert f"--out {out} cannot be used as a folder: " in message


def test_a_missing_package_is_told_without_a_traceback(tmp_path, monkeypatch, capsys):
    def missing(**options):
        raise MissingDependencyError('run: pip install "sktransfer[demo]"')

    monkeypatch.setattr(demo, "run_images", missing)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
    printed = capsys.readouterr().err
    assert printed.strip().endswith('error: run: pip install "sktransfer[demo]"')


def test_an_interrupted_run_says_that_nothing_is_lost(tmp_path, monkeypatch, capsys):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_images", interrupted)
    assert main(["demo", "--out", str(tmp_path)]) == 130
    assert "stay in the cache" in capsys.readouterr().err

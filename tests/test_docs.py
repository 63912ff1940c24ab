"""Every example in a docstring and every snippet in a page runs."""

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import sys
import tomllib

import pytest
import torch
from conftest import REPOSITORY

import sktransfer

MODULES = [
    info.name
    for info in pkgutil.walk_packages(sktransfer.__path__, "sktransfer.")
    if not info.name.endswith("__main__")
]
PAGES = [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/**/*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Finder(doctest.DocTestFinder):
    """Finds examples in the file that has them, whatever home a class gives as its own.

    doctest takes a class for another module's if it says a public home.
    """

    def _from_module(self, module, obj):
        functions = vars(obj).values() if inspect.isclass(obj) else [obj]
        if inspect.ismodule(module) and any(
            inspect.isfunction(f) and f.__globals__ is vars(module) for f in functions
        ):
            return True
        return super()._from_module(module, obj)


def examples_of(module):
    return [test for test in Finder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    with torch.random.fork_rng():  # examples make networks
        for test in examples_of(importlib.import_module(name)):
            runner.run(test)
    assert runner.failures == 0


def test_the_examples_of_every_public_name_are_found():
    found = {
        test.name.rpartition(".")[2]
        for name in MODULES
        for test in examples_of(importlib.import_module(name))
    }
    assert set(sktransfer.__all__) <= found


# A snippet, and what the page says that it prints: "text" is compared, and "console"
# depends on the terminal or the clock.
SNIPPET = re.compile(
    r"```python\n(.*?)```(?:\n+```(text|console)\n(.*?)```)?", re.DOTALL
)


def printed(code, path, namespace):
    """Run a snippet; return what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(path), "exec"), namespace)
    return out.getvalue()


FLOAT = re.compile(r"\d+\.\d+")


def agree(want, got):
    """Whether two texts are alike; the last digits of scores depend on the machine."""
    if not doctest.OutputChecker().check_output(
        FLOAT.sub("1.0", want), FLOAT.sub("1.0", got), FLAGS
    ):
        return False
    numbers = [list(map(float, FLOAT.findall(text))) for text in (want, got)]
    return "..." in want or numbers[1] == pytest.approx(numbers[0], rel=0.05, abs=0.05)


def test_what_pages_show_may_differ_in_last_digits_alone():
    assert agree("score 0.83\n", "score 0.85\n")
    assert not agree("score 0.83\n", "score 0.93\n")
    assert not agree("['card']\n", "['top-up']\n")
    assert not agree("3 rows\n", "4 rows\n")


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_page_snippets_run_in_order(path, tmp_path, monkeypatch, bundled_weights):
    monkeypatch.chdir(tmp_path)
    # A page may set it, as users do; afterwards it is as it was.
    monkeypatch.setenv("SCIPY_ARRAY_API", "0")
    namespace = {"__name__": "__main__"}
    with torch.random.fork_rng():
        for code, kind, want in SNIPPET.findall(path.read_text()):
            got = printed(code, path, namespace)
            shown = f"{path.name} shows\n{want}\nand a snippet prints\n{got}"
            assert kind == "console" or agree(want, got), shown


@pytest.mark.slow
@pytest.mark.shared_data
def test_few_labels_give_what_readme_says(
    tmp_path, monkeypatch, bundled_weights, shared_data
):
    page = (REPOSITORY / "docs" / "guide" / "few_labels.md").read_text()
    code, want = re.search(
        r"```py\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL
    ).groups()
    (tmp_path / "banking77").symlink_to(shared_data / "banking77")
    monkeypatch.chdir(tmp_path)
    got = float(printed(code, "few_labels.md", {}).split()[-1])
    readme = (REPOSITORY / "README.md").read_text()
    said = re.search(r"77 intents from 8 questions.*?accuracy (\d\.\d+)", readme)[1]
    assert got == pytest.approx(float(want.split()[-1]), abs=0.005)
    assert got == pytest.approx(float(said), abs=0.01)


# What a snippet needs beyond sktransfer[bundled], by what it says.
NEEDS = {
    r"load_elpv": "elpv-dataset",
    r"load_image_folder|to_frame\(": "pandas",
    r"Display\.|\.plot\(": "matplotlib",
    r"^from sktransfer import [\w, ]*\b(save|load)\b": "skops safetensors",
    r"\bto_onnx\(": "onnx skl2onnx",
    r"\bbulk\.encode\(": "pyarrow",
    r"\bProgressBar\(": "rich",
    r"serving:app": "fastapi uvicorn",
    r"engine=\"openvino\"": "openvino",
}
# They come with sktransfer's own dependencies.
COME_ALONG = {"PIL", "fsspec", "huggingface_hub", "joblib", "numpy", "scipy", "sklearn"}
COME_ALONG |= {"skorch", "timm", "torch", "torchvision", "tqdm", "transformers"}


def needed_by(page):
    """Return the packages that the snippets of a page need, without `[bundled]`."""
    found = set()
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for code in [code for kind, code in blocks if kind in ("", "py", "python")]:
        for pattern, packages in NEEDS.items():
            if re.search(pattern, code, re.MULTILINE):
                found.update(packages.split())
        imported = re.findall(r"^\s*(?:import|from) (\w+)", code, re.MULTILINE)
        found |= set(imported) - COME_ALONG - sys.stdlib_module_names - {"sktransfer"}
    return found


def brought_by(line):
    """Return the packages that the pip commands of a line install.

    The demo's extra counts for its images alone, since they are not for every use.
    """
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert "elpv-dataset" in " ".join(extras["demo"])
    extras["demo"] = ["elpv-dataset"]

    def of_extras(names):
        for name in names.split(","):
            for package in extras[name]:
                if inner := re.match(r"sktransfer\[(.*)\]", package):
                    yield from of_extras(inner[1])
                else:
                    yield re.match(r"[\w-]+", package)[0]

    found = set()
    for command in re.findall(r"`pip\s+install\s+([^`]*)`", line):
        for word in command.replace('"', "").split():
            inner = re.fullmatch(r"sktransfer\[(.*)\]", word)
            found.update(of_extras(inner[1]) if inner else [word])
    return found


GUIDE = sorted((REPOSITORY / "docs" / "guide").glob("*.md"))


@pytest.mark.parametrize("path", GUIDE, ids=lambda p: p.name)
def test_a_page_says_near_its_top_what_its_snippets_need(path):
    page = path.read_text()
    needed = needed_by(page)
    top = page.partition("```")[0]
    line = re.search(r"^\*\*You need\*\* .*?\n\n", top, re.DOTALL | re.MULTILINE)
    assert needed <= brought_by(line[0] if line else ""), sorted(needed)

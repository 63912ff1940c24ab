"""Every example in a docstring and every snippet in a page runs."""

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re

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


# A snippet, and what the page says that it prints.
SNIPPET = re.compile(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", re.DOTALL)


def printed(code, path, namespace):
    """Run a snippet; return what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(path), "exec"), namespace)
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_page_snippets_run_in_order(path, tmp_path, monkeypatch, bundled_weights):
    monkeypatch.chdir(tmp_path)
    # A page may set it, as users do; afterwards it is as it was.
    monkeypatch.setenv("SCIPY_ARRAY_API", "0")
    namespace = {"__name__": "__main__"}
    with torch.random.fork_rng():
        for code, want in SNIPPET.findall(path.read_text()):
            got = printed(code, path, namespace)
            if want and not doctest.OutputChecker().check_output(want, got, FLAGS):
                pytest.fail(f"{path.name} shows\n{want}\nand the snippet prints\n{got}")

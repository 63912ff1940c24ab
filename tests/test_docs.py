"""Every example in a docstring and every snippet in a page runs."""

import doctest
import importlib
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


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    with torch.random.fork_rng():  # examples make networks
        result = doctest.testmod(module, optionflags=FLAGS)
    assert result.failed == 0


def snippets(path):
    """Python blocks of a page, in order."""
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_page_snippets_run_in_order(path, tmp_path, monkeypatch, bundled_weights):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    with torch.random.fork_rng():
        for code in snippets(path):
            exec(compile(code, str(path), "exec"), namespace)


def test_the_readme_claims_only_what_the_benchmarks_show():
    readme = (REPOSITORY / "README.md").read_text()
    shown = (REPOSITORY / "benchmarks" / "README.md").read_text()
    table = re.search(r"<!-- peers -->(.*?)<!-- /peers -->", readme, re.DOTALL)[1]
    results = [row.split("|")[2:4] for row in table.strip().splitlines()[2:]]
    figures = re.findall(r"\d[\d,.]*\d|\d", " ".join(sum(results, [])))
    assert len(figures) > 20
    lost = [f for f in figures if not re.search(rf"(?<![\d.]){f}(?![\d])", shown)]
    assert not lost, f"not in benchmarks/README.md any more: {lost}"


def test_every_benchmark_has_its_table():
    shown = (REPOSITORY / "benchmarks" / "README.md").read_text()
    cases = (REPOSITORY / "benchmarks" / "cases").glob("[!_]*.py")
    tables = re.findall(r"<!-- table: (\w+) -->", shown)
    assert sorted(tables) == sorted(path.stem for path in cases)

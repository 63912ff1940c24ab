"""The house: layers, file lengths, lazy imports, sorted names."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sktransfer

PACKAGE = Path(sktransfer.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = {
    "exceptions": 0,
    "_utils": 1,
    "_cells": 2,
    "cache": 2,
    "backbones": 3,
    "_extraction": 4,
    "encoders": 5,
    "finetuning": 5,
    "domain_adaptation": 5,
}
TOP = 6  # every other module
SIBLINGS = {"encoders", "finetuning", "domain_adaptation"}
HEAVY = (
    "torch",
    "skorch",
    "timm",
    "transformers",
    "sentence_transformers",
    "PIL",
    "ot",
)


def room(path):
    """Name of the module or subpackage that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Rooms of the package that a file imports, wherever in the file."""
    package = ("sktransfer", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            parts = (*base, *(node.module.split(".") if node.module else ()))
            names = parts[1:2] or [alias.name for alias in node.names]
            yield from names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_point_down(path):
    here = room(path)
    if here == "__init__":
        return
    level = LAYERS.get(here, TOP)
    for other in imported_rooms(path):
        if other == here:
            continue
        assert not (here in SIBLINGS and other in SIBLINGS), f"{here} -> {other}"
        other_level = LAYERS.get(other, TOP)
        assert other_level < level or level == other_level == TOP, (
            f"{here} (layer {level}) imports {other} (layer {other_level})"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_is_above_500_lines(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_private_names_of_sklearn_are_imported_in_one_place(path):
    if path.name == "_utils/validation.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "sklearn"
        ):
            assert "._" not in node.module


def test_public_names_are_sorted_and_exist():
    for name in (
        "sktransfer",
        "sktransfer.backbones",
        "sktransfer.domain_adaptation",
        "sktransfer.encoders",
    ):
        module = importlib.import_module(name)
        assert module.__all__ == sorted(module.__all__)
        assert all(hasattr(module, public) for public in module.__all__)
    assert set(sktransfer.__all__) <= set(dir(sktransfer))


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ImageEncoda'"):
        _ = sktransfer.ImageEncoda


@pytest.mark.parametrize(
    "statement",
    [
        "import sktransfer",
        "from sktransfer import ImageEncoder, TextEncoder",
        "from sktransfer import DomainAdaptationClassifier",
    ],
)
def test_import_loads_no_heavy_package(statement):
    code = (
        f"{statement}; import json, sys; "
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []

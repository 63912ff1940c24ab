"""Imports of optional packages, and the line that installs them."""

import re
import sys
import tomllib

import pytest
from conftest import REPOSITORY

from sktransfer._utils.optional import import_optional, require
from sktransfer.exceptions import MissingDependencyError

EXTRAS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def test_the_line_installs_the_package_itself_or_the_extra():
    with pytest.raises(MissingDependencyError, match=r"run: pip install no_such$"):
        import_optional("no_such.part", purpose="This test")
    line = r'This test needs the package \'no_such\'.*pip install "sktransfer\[ot\]"$'
    with pytest.raises(MissingDependencyError, match=line):
        import_optional("no_such", extra="ot", purpose="This test")
    with pytest.raises(MissingDependencyError, match=line):
        require(["sys", "no_such"], extra="ot", purpose="This test")


def test_a_package_that_is_broken_inside_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import no_such_part\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_part") as caught:
        import_optional("broken_inside", purpose="This test")
    assert not isinstance(caught.value, MissingDependencyError)
    assert "broken_inside" not in sys.modules


def test_extras_in_messages_exist_and_only_demos_bring_images():
    named = {
        (path.relative_to(REPOSITORY).parts[1], extra)
        for path in (REPOSITORY / "sktransfer").rglob("*.py")
        for extra in re.findall(r'extra="(\w+)"|sktransfer\[(\w+)\]', path.read_text())
        for extra in extra
        if extra
    }
    assert {extra for _, extra in named} <= set(EXTRAS)
    # The demo's extra has images that are not for commercial use.
    assert {place for place, extra in named if extra == "demo"} == {
        "demo",
        "datasets.py",
    }

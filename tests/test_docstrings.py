"""Docstrings of the public API have the sections that numpydoc asks for."""

import inspect
import sys
import warnings

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs" / "_extensions"))

import public_api  # noqa: E402

import sktransfer  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Sphinx's imports
    from numpydoc.validate import validate

# What numpydoc calls them: no docstring; a parameter that is not documented, or is not
# there; nothing on what is returned or yielded; no summary, or none with a full stop.
REQUIRED = {"GL08", "PR01", "PR02", "RT01", "YD01", "SS01", "SS03"}
NAMES = [name for names in public_api.documented_names().values() for name in names]


def resolve(name):
    return public_api._resolve(f"sktransfer.{name}")


def documented_methods(cls):
    """Public methods of our own, and not those of scikit-learn."""
    for name, member in inspect.getmembers(cls):
        skipped = public_api.is_foreign(None, "class", name, member, False, None)
        if not name.startswith("_") and callable(member) and not skipped:
            yield name


def is_plain_record(obj):
    """Exceptions and named tuples, which people get and do not make."""
    return inspect.isclass(obj) and issubclass(obj, (Exception, tuple))


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_have_their_sections(name):
    obj = resolve(name)
    found = [f"sktransfer.{name}"]
    if inspect.isclass(obj):
        found += [f"sktransfer.{name}.{method}" for method in documented_methods(obj)]
    problems = []
    for full in found:
        required = set(REQUIRED)
        if full == found[0] and is_plain_record(obj):
            required.remove("PR01")  # fields are attributes
        elif full == found[0]:
            required.add("EX01")
        errors = validate(full)["errors"]
        problems += [
            f"{full}: {code} {text}" for code, text in errors if code in required
        ]
    assert not problems, "\n".join(problems)


def test_every_public_name_has_a_page(tmp_path):
    public_api.write_pages(tmp_path)
    text = "".join(path.read_text() for path in tmp_path.glob("sktransfer.*.rst"))
    lines = set(text.split())
    assert set(sktransfer.__all__) <= lines
    for module in public_api.public_modules().values():
        short = module.__name__.removeprefix("sktransfer.")
        for name in module.__all__:
            assert name in lines or f"{short}.{name}" in lines


def test_a_name_of_the_package_alone_is_an_error(monkeypatch):
    monkeypatch.setattr(sktransfer, "__all__", [*sktransfer.__all__, "Orphan"])
    with pytest.raises(ValueError, match="Orphan"):
        public_api.documented_names()


def test_pages_of_modules_that_are_gone_are_deleted(tmp_path):
    (tmp_path / "sktransfer.gone.rst").write_text("")
    public_api.write_pages(tmp_path)
    assert not (tmp_path / "sktransfer.gone.rst").exists()

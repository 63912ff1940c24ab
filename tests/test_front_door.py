"""README and the benchmark pages say what the records say, and their links lead on."""

import json
import re
import sys
import tomllib

import pytest
from conftest import REPOSITORY
from PIL import Image

sys.path.insert(0, str(REPOSITORY))
from benchmarks import _figures as figures
from benchmarks import run

sys.path.remove(str(REPOSITORY))

README = (REPOSITORY / "README.md").read_text()
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PAGES = REPOSITORY / "docs" / "benchmarks"
GUIDE = sorted((REPOSITORY / "docs" / "guide").glob("*.md"))
# Made by Sphinx, from folders and docstrings.
GENERATED = {"gallery/index", "api/index"}


def numbers(text):
    """Numbers of a text, by how many decimals they have."""
    for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text):
        plain = found.replace(",", "")
        yield float(plain), len(plain.partition(".")[2])


def text_of(page):
    """What a benchmark page says behind its command, where there is one."""
    return (PAGES / page).read_text().partition("```bash")[2]


def not_shown(text, pages):
    """Numbers of a text that no number of some pages rounds to."""
    shown = [n for n, _ in numbers(" ".join(map(text_of, pages)))]
    return [
        n
        for n, decimals in numbers(text)
        if not any(abs(n - one) <= 0.5001 * 10**-decimals for one in shown)
    ]


def rows(text, marker):
    """Cells of a table between markers, without its head."""
    table = re.search(rf"<!-- {marker} -->(.*?)<!-- /{marker} -->", text, re.DOTALL)[1]
    return [row.split("|")[1:-1] for row in table.strip().splitlines()[2:]]


def linked_pages(text):
    """Benchmark pages that a text leads to."""
    return {f"{name}.md" for name in re.findall(r"(\w+)\.(?:html|md)\)", text)}


def without_links(text):
    return re.sub(r"\]\(.*?\)", "]", text)


def test_readme_claims_only_what_the_linked_benchmark_shows():
    claims = rows(README, "peers")
    assert 4 < len(claims) <= 8
    for row in claims:
        pages = linked_pages(" ".join(row))
        assert pages, row
        assert not_shown(without_links(" ".join(row[1:])), pages) == []


def test_readme_tells_where_others_are_better_as_the_benchmarks_do():
    text = re.search(r"Where it is not better:(.*?)\n\n", README, re.DOTALL)[1]
    assert not_shown(text, ["few_shot_texts.md", "table_encoder.md"]) == []


def test_the_summary_claims_only_what_the_linked_page_shows():
    index = (PAGES / "index.md").read_text()
    for row in rows(index, "summary"):
        pages = linked_pages(row[-2] + row[-1])
        others = ["domain_shift.md"] if pages == {"domain_shift_deep.md"} else []
        assert not_shown(row[1], [*pages, *others]) == []


@pytest.mark.parametrize("case", run.NAMES)
def test_benchmark_pages_open_with_an_answer_that_they_show(case):
    answer = (PAGES / f"{case}.md").read_text().partition("```bash")[0]
    assert len(answer.splitlines()) > 3
    pages = {f"{case}.md", *linked_pages(answer)}
    assert not_shown(without_links(answer), pages) == []


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.name)
def test_guide_pages_claim_only_what_the_linked_benchmark_shows(path):
    for part in re.split(r"\n\n|(?<=\|)\n(?=\|)", path.read_text()):
        pages = set(re.findall(r"\.\./benchmarks/(\w+\.md)", part)) - {"index.md"}
        figures = " ".join(re.findall(r"\d+\.\d{3}|\d+\.\d (?:points|s\b)", part))
        if pages:
            assert not_shown(figures, pages) == []


def test_a_figure_that_no_page_shows_is_found():
    assert not_shown("18 s, 18.3 s and 2,500 texts", ["text_grid.md"]) == []
    assert not_shown("18.2 s", ["text_grid.md"]) == [18.2]


def test_tables_are_those_of_the_records(tmp_path, monkeypatch):
    for page in PAGES.glob("*.md"):
        (tmp_path / page.name).write_text(page.read_text())
    monkeypatch.setattr(run, "draw_few_labels", lambda figures: None)
    run.write_tables(run.NAMES, tmp_path)
    for page in PAGES.glob("*.md"):
        assert (tmp_path / page.name).read_text() == page.read_text(), page.name


def test_every_benchmark_has_its_page_and_a_place_in_the_menu():
    menu = (PAGES / "index.md").read_text().splitlines()
    for case in run.NAMES:
        assert f"<!-- table: {case} -->" in (PAGES / f"{case}.md").read_text()
        assert case in menu


def test_the_figure_of_readme_is_drawn_from_the_record():
    record = json.loads((run.RESULTS / "label_efficiency.json").read_text())
    with Image.open(figures.FEW_LABELS) as image:
        assert image.text[figures.SOURCE] == figures.digest(record["figures"])
    text = re.search(r"!\[(Accuracy.*?)\]", README)[1]
    assert not_shown(text, ["label_efficiency.md"]) == []


def test_the_first_code_is_on_the_first_screen():
    assert README.splitlines().index("```python") < 25


def test_every_link_of_readme_is_absolute_and_leads_to_a_file():
    assert not re.search(r"\]\((?!https://)|src=\"(?!https://)", README)
    urls = PROJECT["urls"]
    site, repository = urls["Documentation"], urls["Source"]
    links = re.findall(r"https://[^\s)\">]+", README)
    pages = [link.removeprefix(site) for link in links if link.startswith(site)]
    assert len(pages) > 10
    for page in pages:
        name = page.strip("/").removesuffix(".html")
        found = (REPOSITORY / "docs" / f"{name or 'index'}.md").exists()
        assert found or name in GENERATED, page
    raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for prefix in (f"{repository}/blob/main/", raw):
        files = [link.removeprefix(prefix) for link in links if link.startswith(prefix)]
        assert files
        assert [file for file in files if not (REPOSITORY / file).exists()] == []


@pytest.mark.parametrize("name", ["Documentation", "Source", "Issues", "Changelog"])
def test_the_package_names_its_addresses(name):
    assert PROJECT["urls"][name].startswith("https://")

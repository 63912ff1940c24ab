"""The benchmarks page: claims from ``benchmarks/results``, and links to it.

``{benchmark-claims}`` is a table of what each case was to show, and whether it did.
"""

import json
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def claims_table(folder=RESULTS):
    """Claims of all results, as a Markdown table.

    Parameters
    ----------
    folder : Path
        With a JSON file for each case that was run.

    Returns
    -------
    str
    """
    lines = ["| case | to show | wanted | found | holds |", "|---|---|---|---|---|"]
    for path in sorted(folder.glob("*.json")):
        case = path.stem
        for one in json.loads(path.read_text())["claims"]:
            cells = [
                f"[{case}](#{case})",
                one["claim"],
                str(one["target"]),
                _number(one["value"]),
                "yes" if one["holds"] else "**no**",
            ]
            lines.append("| " + " | ".join(c.replace("|", r"\|") for c in cells) + " |")
    return "\n".join(lines)


def _number(value):
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class BenchmarkClaims(SphinxDirective):
    """Put the table of claims into a page."""

    def run(self):
        """Return the table's nodes."""
        for path in RESULTS.glob("*.json"):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(claims_table())


def _lead_to_the_site(app, docname, source):
    """Links to the file, which readers of the repository follow, become the page."""
    source[0] = source[0].replace("../benchmarks/README.md#", "benchmarks.md#")
    source[0] = source[0].replace("(../benchmarks/README.md)", "(benchmarks.md)")
    source[0] = source[0].replace("/../benchmarks/README.md)", "/benchmarks.md)")


def setup(app):
    """Register with Sphinx."""
    app.add_directive("benchmark-claims", BenchmarkClaims)
    app.connect("source-read", _lead_to_the_site)
    return {"parallel_read_safe": True}

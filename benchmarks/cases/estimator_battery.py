"""Which of sktransfer.estimator_checks' rules each library's encoders keep."""

import contextlib
import time
import warnings

from sktransfer import ImageEncoder, TextEncoder
from sktransfer.estimator_checks import check_estimator

from .._harness import claim
from .._rivals import TIMM_NAME, minilm_folder, skrub_encoder, timm_without_hub

OURS = ("sktransfer ImageEncoder", "sktransfer TextEncoder")


def contestants():
    from embetter.text import SentenceEncoder
    from embetter.vision import TimmEncoder

    return {
        "sktransfer ImageEncoder": ("image", ImageEncoder),
        "embetter TimmEncoder": ("image", lambda: TimmEncoder(TIMM_NAME)),
        "sktransfer TextEncoder": ("text", TextEncoder),
        "skrub LLMEncoder": ("text", skrub_encoder),
        "embetter SentenceEncoder": (
            "text",
            lambda: SentenceEncoder(minilm_folder()),
        ),
    }


def run(full=False):
    figures = {}
    for name, (modality, make) in contestants().items():
        ours = name in OURS
        with quiet(), contextlib.nullcontext() if ours else timm_without_hub():
            figures[name] = battery(make(), modality)
    return {
        "figures": figures,
        "spread": {},
        "claims": [
            claim(f"{name}, failed", n, "== 0", n == 0)
            for name in OURS
            for n in [len(figures[name]["failed"])]
        ],
    }


@contextlib.contextmanager
def quiet():
    """Let nobody fail for a warning: of a name that will go, of a fit that is short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def battery(encoder, modality):
    started = time.perf_counter()
    results = check_estimator(encoder, modality=modality, on_fail=None)

    def having(status):
        return {
            r["check_name"]: str(r["exception"])
            for r in results
            if r["status"] == status
        }

    return {
        "modality": modality,
        "passed": sorted(having("passed")),
        "failed": having("failed"),
        "not_applicable": having("skipped"),
        "wall_s": time.perf_counter() - started,
    }


def table(result):
    rows = [["", "reads", "passed", "failed", "not applicable", "what failed"]]
    for name, figures in result["figures"].items():
        failed = ", ".join(
            check.removeprefix("check_").replace("_", " ")
            for check in figures["failed"]
        )
        counts = [figures[key] for key in ("passed", "failed", "not_applicable")]
        rows.append(
            [name, figures["modality"] + "s"]
            + [str(len(count)) for count in counts]
            + [failed]
        )
    return rows

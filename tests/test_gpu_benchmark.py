"""The benchmark of the GPU path runs with tiny numbers on a CPU, and judges nothing."""

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY))
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import report
from benchmarks.gpu._setting import setting
from benchmarks.gpu._stage import judge

sys.path.remove(str(REPOSITORY))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="groups of processes")


COMMAND = ["-m", "benchmarks.gpu"]
# Contestants one after the other in one process, as imports take most of a small run.
TOGETHER = """
import os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
from benchmarks.gpu import __main__ as command, report
report.in_own_process = lambda stage, name, sizes: report.contestant(
    stage, name, sizes.folder, True
)
sys.exit(command.main(sys.argv[1:]))
"""


def record_of(tmp_path, *arguments, command=COMMAND):
    """Run the command with tiny numbers; return its record."""
    path = tmp_path / "record.json"
    done = subprocess.run(
        [sys.executable, *command, "--small", "--record", str(path), *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": holds" not in done.stdout
    result = json.loads(path.read_text())
    assert result["claims"]
    assert all(one["holds"] is None for one in result["claims"])
    assert result["errors"] == {}
    assert result["figures"]["small"]
    assert result["figures"]["card"] is None
    return result


def test_without_a_card_it_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setattr(command, "has_card", lambda: False)
    assert command.main([]) == 1
    said = capsys.readouterr().err
    assert "needs a CUDA device" in said
    assert "--small" in said


def test_an_unknown_stage_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["imagse", "--small"])
    assert "no stage ['imagse']" in capsys.readouterr().err


def test_a_small_run_is_never_the_record_of_a_card(capsys):
    assert command.main(["--small", "--record", str(command.DEFAULT)]) == 1
    assert "is of a real card" in capsys.readouterr().err


def test_a_contestant_is_measured_and_not_judged(tmp_path):
    name = "test_resnet, ImageEncoder"
    result = record_of(tmp_path, "arrays", "--match", name)
    found = result["figures"]["stages"]["arrays"]["contestants"]
    assert list(found) == [name]
    assert found[name]["rows"] == 16
    assert len(found[name]["seconds"]) == 2
    (claim,) = result["claims"]  # its rival was not asked for
    assert (claim["value"], claim["target"]) == (None, ">= 0.9")
    assert {"date", "seed", "versions", "machine"} <= set(result)
    heads, speeds, claimed = report.table(result)
    assert len(heads) == len(speeds) == len(claimed)
    assert speeds[0] == f"arrays: {name}"
    assert claimed[0] == claim["claim"]


@pytest.fixture
def failing_encoder(monkeypatch):
    """Let one contestant fail and the others return at once."""

    def in_own_process(stage, name, sizes):
        if "Encoder" in name:
            return {"error": "it fell over"}
        return {"rows": 2, "seconds": [1.0, 1.0]}

    monkeypatch.setattr(report, "in_own_process", in_own_process)


def test_a_contestant_that_fails_leaves_its_error(failing_encoder, capsys):
    result = report.outcome(["arrays"], is_small=True)
    assert result["errors"] == {"arrays: test_resnet, ImageEncoder": "it fell over"}
    found = result["figures"]["stages"]["arrays"]["contestants"]
    assert found["test_resnet, loop by hand"]["rows"] == 2
    (claim,) = result["claims"]
    assert (claim["value"], claim["holds"], claim["why"]) == (None, None, "NOT RUN")
    assert command.publish("gpu", {**result, "date": ""}) == 1
    assert "NOT RUN" in capsys.readouterr().out


def test_other_stages_of_a_record_stay_if_the_versions_are_the_same(failing_encoder):
    first = report.outcome(["grid"], is_small=True)
    before = {**first, "versions": report.versions()}
    both = report.outcome(["arrays"], is_small=True, before=before)
    assert list(both["figures"]["stages"]) == ["arrays", "grid"]
    before["versions"] = {"python": "2.7"}
    one = report.outcome(["arrays"], is_small=True, before=before)
    assert list(one["figures"]["stages"]) == ["arrays"]


def test_claims_compare_speeds_of_the_second_pass():
    found = {
        "last block, ImageClassifier": {"rows": 10, "seconds": [9.0, 1.0]},
        "last block, DataLoader loop": {"rows": 10, "seconds": [1.0, 4.0]},
        "everything, ImageClassifier": {"rows": 10, "seconds": [1.0, 2.4]},
        "everything, DataLoader loop": {"rows": 10, "seconds": [9.0, 2.0]},
    }
    claims = report.STAGES["train"].claims(setting("", is_small=False))
    last, everything = (judge(one, found, is_small=False) for one in claims)
    assert (last["value"], last["holds"]) == (4.0, True)
    assert (everything["value"], everything["holds"]) == (1.2, False)
    few = judge(claims[0], found, is_small=True)
    assert (few["value"], few["holds"]) == (4.0, None)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_stage_runs_small(tmp_path):
    result = record_of(tmp_path, command=["-c", TOGETHER])
    assert list(result["figures"]["stages"]) == list(report.STAGES)
    judged = {one["why"] for one in result["claims"]}
    assert judged == {"not judged, since the run is small"}

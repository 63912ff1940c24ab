"""A sample of the tests on a pretended card, where "auto" is not the CPU."""

import os
import subprocess
import sys

import pytest
from conftest import ON_A_PRETENDED_CARD, REPOSITORY
from torch.utils import backend_registration

SAMPLE = (
    "tests/extraction/test_loop.py::test_clearing_the_cache_forgets",
    "tests/finetuning/test_room.py",
    *(
        f"tests/encoders/test_torch_output.py::{name}"
        for name in (
            "test_unions_and_column_transformers_join_tensors_under_their_names",
            "test_every_way_back_to_the_host_is_counted",
            "test_no_features_come_back_to_the_host",
        )
    ),
)


@pytest.mark.skipif(ON_A_PRETENDED_CARD, reason="the tests are on it already")
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch knows no devices that are written in Python",
)
def test_a_device_that_is_not_the_cpu_is_told_from_it():
    # "SKTRANSFER_TEST_CARD=1 python -m pytest" is the same for all tests.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SAMPLE],
        cwd=REPOSITORY,
        env=os.environ | {"SKTRANSFER_TEST_CARD": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout

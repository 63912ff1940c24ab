"""FreezeDepthDisplay."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest

from sktransfer.inspection import FreezeDepthDisplay

mpl.use("Agg")


def search(values=(-1, "all", -2, 0, -1, "all"), name="freeze_depth"):
    n = len(values)
    return SimpleNamespace(
        cv_results_={
            f"param_{name}": np.array(values, dtype=object),
            "param_lr": np.arange(n),
            "mean_test_score": np.linspace(0.5, 0.5 + 0.1 * (n - 1), n),
            "std_test_score": np.full(n, 0.01),
            "mean_fit_time": np.arange(n) + 1.0,
        }
    )


def test_the_best_candidate_of_each_depth_is_drawn_frozen_most_first():
    import matplotlib.pyplot as plt

    display = FreezeDepthDisplay.from_search(search(), score_name="accuracy")
    assert display.depths == ["all", -1, -2, 0]
    np.testing.assert_allclose(display.scores, [1.0, 0.9, 0.7, 0.8])
    np.testing.assert_allclose(display.fit_times, [6, 5, 3, 4])
    assert display.ax_.get_ylabel().startswith("accuracy")
    assert len(display.ax_time_.patches) == 4
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == [
        "all",
        "-1",
        "-2",
        "0",
    ]
    plt.close(display.figure_)


def test_it_draws_into_axes_that_are_there():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    step = search(("all", -1), name="model__freeze_depth")
    display = FreezeDepthDisplay.from_search(step, ax=ax, color="C3")
    assert display.figure_ is figure
    plt.close(figure)


def test_a_search_over_something_else_is_refused():
    with pytest.raises(ValueError, match=r"did not vary 'freeze_depth'.*\['C', 'lr'\]"):
        FreezeDepthDisplay.from_search(search(name="C"))
    with pytest.raises(ValueError, match="has no cv_results_; fit it first"):
        FreezeDepthDisplay.from_search(SimpleNamespace())

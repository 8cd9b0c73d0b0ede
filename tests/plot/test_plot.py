"""What the pictures of a search show, read back from matplotlib's own objects."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpdist import Results, maximize, minimize
from hpdist.core.model.errors import ConfigurationError
from hpdist.multi_fidelity import Hyperband
from hpdist.plot import (
    figure_size,
    plot_load_histograms,
    plot_search_trajectory_single_objective_hpo,
    plot_timetable,
    plot_worker_utilization,
)
from hpdist.plot.timetable import lanes
from hpdist.plot.utilization import busy_workers


@pytest.fixture(autouse=True)
def _canvas() -> Iterator[None]:
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("agg")
    yield
    pyplot.close("all")


@pytest.fixture
def frame() -> pd.DataFrame:
    """Four jobs on two workers, gathered in another order than they ended in, one failed."""
    return pd.DataFrame(
        {
            "objective": [-3.0, "F_exception", -1.0, -2.0],
            "m:timestamp_submit": [0.0, 0.0, 2.0, 3.0],
            "m:timestamp_start": [0.5, 0.5, 2.5, 3.5],
            "m:timestamp_end": [2.0, 3.0, 6.0, 5.0],
            "m:timestamp_gather": [2.5, 3.5, 6.5, 6.0],
        },
        index=[3, 1, 2, 0],
    )


def line(ax: Any) -> tuple[list[float], list[float]]:
    x, y = ax.lines[0].get_data()
    return list(x), list(y)


def test_the_line_is_the_best_so_far_whatever_the_order_and_the_index(frame: pd.DataFrame) -> None:
    _, ax = plot_search_trajectory_single_objective_hpo(frame, mode="min", x_units="seconds")
    assert line(ax) == ([2.0, 3.0, 5.0, 6.0], [3.0, 3.0, 2.0, 1.0])
    failed = ax.collections[-1].get_offsets()
    assert failed.tolist() == [[3.0, 3.0]]
    assert ax.get_xlabel() == "Time (seconds)"


def test_the_objective_itself_grows(frame: pd.DataFrame) -> None:
    from matplotlib.pyplot import subplots

    figure, axes = subplots(2)
    found = plot_search_trajectory_single_objective_hpo(
        frame, ax=axes[1], show_failures=False, label="ours"
    )
    assert found == (figure, axes[1])
    assert line(axes[1]) == ([1.0, 2.0, 3.0, 4.0], [-3.0, -3.0, -2.0, -1.0])
    assert len(axes[1].collections) == 1
    assert axes[1].get_legend().get_texts()[0].get_text() == "ours"


def searched(tmp_path: Path, which: Any = minimize) -> Results:
    return which(
        lambda config, budget: config["x"] + 1 / budget,
        {"x": (0.0, 1.0)},
        iter_generator=Hyperband(1, 9),
        n_iterations=1,
        executor="serial",
        run=tmp_path / "run",
        progress="none",
    )


@pytest.mark.parametrize("which", [minimize, maximize])
def test_the_line_of_a_run_knows_the_highest_budget_only(tmp_path: Path, which: Any) -> None:
    results = searched(tmp_path, which)
    rows = results.to_frame()
    _, ax = plot_search_trajectory_single_objective_hpo(results)
    full = rows[rows["budget"] == 9.0]
    best = full["loss"].min() if which is minimize else full["loss"].max()
    assert line(ax)[1][-1] == pytest.approx(best)
    assert len(ax.collections[1].get_offsets()) == (rows["budget"] < 9.0).sum()


def test_a_run_has_all_the_pictures(tmp_path: Path) -> None:
    results = searched(tmp_path)
    for profile_type in ("start/end", "submit/gather"):
        _, ax = plot_worker_utilization(results, num_workers=1, profile_type=profile_type)
        assert max(line(ax)[1]) >= 1.0
        assert line(ax)[1][-1] == 0.0
    _, ax = plot_timetable(results)
    assert len(ax.collections) == len(ax.get_yticklabels()) == 1
    _, ax = plot_load_histograms(results, bins=5)
    assert sum(bar.get_height() for bar in ax.patches) == len(results.evaluations)


def test_busy_workers_are_counted_with_ends_before_starts(frame: pd.DataFrame) -> None:
    assert busy_workers([0.0, 1.0], [1.0, 2.0]) == ([0.0, 1.0, 1.0, 2.0], [1, 0, 1, 0])
    _, ax = plot_worker_utilization(frame, num_workers=2, profile_type="start/end")
    times, shares = line(ax)
    assert times == [0.5, 0.5, 2.0, 2.5, 3.0, 3.5, 5.0, 6.0]
    assert shares == [0.5, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0]
    assert ax.get_ylabel() == "Utilization"
    _, ax = plot_worker_utilization(frame)
    assert (max(line(ax)[1]), ax.get_ylabel()) == (3, "Active workers")


INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=30)


@given(INTERVALS)
def test_lanes_do_not_overlap_and_are_as_few_as_can_be(intervals: list[tuple[int, int]]) -> None:
    begun, over = [float(a) for a, _ in intervals], [float(a + b) for a, b in intervals]
    taken = lanes(begun, over)
    for lane in set(taken):
        mine = sorted((begun[i], over[i]) for i, each in enumerate(taken) if each == lane)
        assert all(one[1] <= other[0] for one, other in pairwise(mine))
    assert max(taken) + 1 == max(busy_workers(begun, over)[1])


def test_a_timetable_has_a_row_for_each_engine_and_a_colour_for_each_turn() -> None:
    timeline = pd.DataFrame(
        {
            "engine_id": [0, 1, 0, 1, 1],
            "rel_started": [0.0, 0.0, 1.0, 2.0, 3.0],
            "rel_completed": [1.0, 2.0, 4.0, 3.0, 4.0],
        }
    )
    _, ax = plot_timetable(timeline)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1"]
    first, second = (bars.get_facecolor() for bars in ax.collections)
    assert (len(first), len(second)) == (2, 3)
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(second[0], second[1])


def test_who_did_what_is_guessed_where_it_is_not_known(frame: pd.DataFrame) -> None:
    _, ax = plot_timetable(frame)
    assert len(ax.collections) == 2


def test_histograms_of_several_loads_share_their_axis() -> None:
    figure, axes = plot_load_histograms({"tasks": [1.0, 2.0], "a thousand": [0.5] * 1000})
    assert [ax.get_title() for ax in axes] == ["tasks (2)", "a thousand (1000)"]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert figure.axes == axes
    with pytest.raises(ConfigurationError, match="2 histograms do not fit on 1 axes"):
        plot_load_histograms({"a": [1.0], "b": [1.0]}, ax=axes[0])


def test_the_size_of_a_figure() -> None:
    width, height = figure_size(600)
    assert width == pytest.approx(600 / 72.27)
    assert width / height == pytest.approx(1.618, abs=1e-3)
    assert figure_size(72.27, fraction=0.5, ratio=1.0) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("width", [0, -1, float("nan"), "600", None, True])
def test_a_width_is_a_number_above_zero(width: Any) -> None:
    with pytest.raises(ConfigurationError, match="width"):
        figure_size(width)


PLOTS = [
    plot_search_trajectory_single_objective_hpo, plot_worker_utilization, plot_timetable,
    plot_load_histograms,
]  # fmt: skip


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("wrong", [None, 5, "run", pd.DataFrame(), pd.DataFrame({"x": [1.0]})])
def test_what_cannot_be_drawn_is_refused(plot: Any, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be drawn|nothing to draw"):
        plot(wrong)


def test_unknown_words_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ConfigurationError, match="mode"):
        plot_search_trajectory_single_objective_hpo(frame, mode="best")
    with pytest.raises(ConfigurationError, match="x_units"):
        plot_search_trajectory_single_objective_hpo(frame, x_units="hours")
    with pytest.raises(ConfigurationError, match="profile_type"):
        plot_worker_utilization(frame, profile_type="start")
    with pytest.raises(ConfigurationError, match="num_workers"):
        plot_worker_utilization(frame, num_workers=0)
    with pytest.raises(ConfigurationError, match="bins"):
        plot_load_histograms(frame, bins=0)


def test_without_matplotlib_the_message_names_the_extra(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r'pip install "hpdist\[plot\]"'):
        plot_timetable(frame)

import dataclasses
import errno
import io
import itertools
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation
from PIL import Image

from evaluators.latency import Latency
from nas.problem.budgets import Budgets
from nas.problem.costs import Costs
from nas.report.figure import DPI, SIZE_INCHES, write_figure
from nas.report.plot import draw_front
from nas.report.scene import build_scene
from nas.report.terminal import plot_front
from search_spaces import InvalidInput


def costs_at(latency_ms):
    return Costs(10**6, 10**5, 10**5, 10**6, {"onnxruntime": Latency.exact(latency_ms)})


def marks(figure, sign):
    return [line for line in figure.axes[0].lines if line.get_marker() == sign]


def test_a_scene_puts_every_candidate_of_known_latency_in_its_place(candidates, budgets):
    scene = build_scene(candidates, budgets)
    places = {name: [one.trial for one in getattr(scene, name)] for name in ("front", "others", "partial", "untrained")}
    assert places == {"front": [4, 1, 7], "others": [0, 5], "partial": [3, 10], "untrained": [2]}
    assert scene.winner.trial == 7
    assert scene.stairs() == ([0.060, 0.070, 0.085, 0.09], [0.870, 0.890, 0.9125, 0.9125])


def test_the_limits_of_a_scene_show_the_budget_and_the_intervals_of_the_front(candidates, budgets):
    scene = build_scene(candidates, budgets)
    low, high = scene.latency_limits_ms
    assert low < 0.060 * 0.98 < 0.120 * 1.02 < high
    for candidate in scene.front:
        bottom, top = candidate.accuracy_ci
        assert scene.accuracy_limits[0] < bottom < top < scene.accuracy_limits[1]
    assert scene.accuracy_limits[0] > candidates[3].accuracy  # far below, it would squeeze the front to a line


def test_a_wide_range_of_latencies_gets_a_logarithmic_axis(candidates, budgets):
    assert not build_scene(candidates, budgets).logarithmic
    slow = dataclasses.replace(candidates[3], trial=11, architecture="slow", costs=costs_at(6.0))
    scene = build_scene([*candidates, slow], budgets)
    assert scene.logarithmic
    places = [scene.horizontal(latency_ms) for latency_ms in (0.06, 0.6, 6.0)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_a_rejected_candidate_far_over_the_budget_does_not_squeeze_the_others(candidates, budgets):
    far = dataclasses.replace(candidates[2], trial=11, architecture="far", costs=costs_at(6.0))
    scene = build_scene([*candidates, far], budgets)
    assert (scene.latency_limits_ms, scene.logarithmic) == (build_scene(candidates, budgets).latency_limits_ms, False)
    assert (scene.horizontal(6.0), len(scene.untrained)) == (1.0, 2)
    labels = {line.get_label() for line in marks(draw_front([*candidates, far], budgets), "|")}
    assert "rejected before training (2, 1 beyond the axis)" in labels


def test_the_figure_draws_front_budget_winner_and_the_rest(candidates, budgets):
    figure = draw_front(candidates, budgets, title="a title")
    axes = figure.axes[0]
    (star,) = marks(figure, "*")
    assert star.get_xydata().tolist() == [[0.085, 0.9125]]
    (rejected,) = [line for line in axes.lines if str(line.get_label()).startswith("rejected")]
    assert rejected.get_xdata().tolist() == [0.120]
    (steps,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert steps.get_xydata().tolist() == [[0.06, 0.87], [0.07, 0.89], [0.085, 0.9125], [0.09, 0.9125]]
    (errors,) = axes.containers
    assert errors.has_xerr
    assert errors.has_yerr
    low, high = candidates[4].accuracy_ci
    segments = [segment for bars in errors[2] for segment in bars.get_segments()]
    assert any(np.allclose(segment, [[0.06, low], [0.06, high]]) for segment in segments)
    assert any(line.get_xdata() == [0.09, 0.09] and line.get_linestyle() == "--" for line in axes.lines)
    assert axes.get_title(loc="left") == "a title"
    assert {"budget 0.09 ms", "4", "1", "7"} <= {text.get_text() for text in axes.texts}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "winner: trial 7, 91.25 %, 0.0850 ms" in legend
    assert "rejected before training (1)" in legend


def test_labels_do_not_overlap_even_in_a_crowd(candidates, budgets):
    crowd = [dataclasses.replace(candidates[4], trial=100 + index, architecture=f"in+{index}",
                                 costs=costs_at(0.06 + index * 2e-4), accuracy=0.87 + index * 2e-4)
             for index in range(60)]
    figure = draw_front([*candidates, *crowd], budgets)
    renderer = figure.canvas.get_renderer()
    texts = [text for text in (*figure.axes[0].texts, *figure.legends[0].get_texts()) if isinstance(text, Annotation)]
    boxes = [text.get_window_extent(renderer) for text in texts]
    assert len(boxes) > 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    whole = figure.get_window_extent()
    assert all(whole.contains(*box.min) and whole.contains(*box.max) for box in boxes)


def test_a_png_is_written_whole_at_twice_the_usual_resolution(tmp_path, candidates, budgets):
    path = tmp_path / "front.png"
    write_figure(path, draw_front(candidates, budgets))
    assert [found.name for found in tmp_path.iterdir()] == ["front.png"]
    image = Image.open(path)
    assert image.size == tuple(round(size * DPI) for size in SIZE_INCHES)
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ("#0072B2", "#E69F00", "#D55E00", "white"):  # front, winner, budget, paper
        assert np.any(np.all(pixels == np.round(np.array(to_rgb(colour)) * 255), axis=1)), colour


@pytest.mark.parametrize("name", ["front.jpg", "front.JPEG", "front.pdf"])
def test_a_plot_in_the_name_of_another_kind_of_picture_is_refused(name, tmp_path, candidates, budgets):
    with pytest.raises(InvalidInput, match=rf"a plot is a PNG or an SVG file, but got '.*{name}'"):
        write_figure(tmp_path / name, draw_front(candidates, budgets))
    assert list(tmp_path.iterdir()) == []


def test_a_png_that_cannot_be_drawn_leaves_the_old_one(tmp_path, candidates, budgets, monkeypatch):
    path = tmp_path / "front.png"
    path.write_bytes(b"old")

    def full(self, target):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_figure(path, draw_front(candidates, budgets))
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["front.png"]


def test_an_svg_is_of_the_same_size_and_the_same_bytes_each_time(tmp_path, candidates, budgets):
    for name in ("one.svg", "two.svg"):
        write_figure(tmp_path / name, draw_front(candidates, budgets))
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert [float(root.get(side).removesuffix("pt")) / 72 for side in ("width", "height")] == pytest.approx(SIZE_INCHES)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_drawing_is_repeatable_and_leaves_pyplot_alone(candidates, budgets):
    images = [io.BytesIO(), io.BytesIO()]
    for image in images:
        draw_front(candidates, budgets).savefig(image, format="png")
    assert images[0].getvalue() == images[1].getvalue()
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize("chosen", [[], [6], [2], [3], [7], [0, 5]])
def test_plots_of_few_candidates_are_drawn_all_the_same(tmp_path, candidates, budgets, chosen):
    few = [candidates[index] for index in chosen]
    for limits in (budgets, Budgets()):
        write_figure(tmp_path / "few.png", draw_front(few, limits))
        assert plot_front(few, limits).plain.count("\n") >= 17


@pytest.mark.parametrize(("easy", "words", "drawn"), [
    (0.88, "logistic regression 88.00 %", True), (0.31, "logistic regression 31.00 %, below the axis", False),
    (0.97, "logistic regression 97.00 %", True)])
def test_logistic_regression_is_a_line_of_both_plots_where_the_axis_reaches_it(easy, words, drawn, candidates, budgets):
    scene = build_scene(candidates, budgets, easy_accuracy=easy)
    assert (scene.accuracy_limits[0] < easy < scene.accuracy_limits[1]) == drawn
    figure = draw_front(candidates, budgets, easy_accuracy=easy)
    (line,) = [one for one in figure.axes[0].lines if str(one.get_label()).startswith("logistic")]
    assert (line.get_ydata(), line.get_label()) == ([easy, easy], words)
    assert figure.axes[0].get_ylim() == scene.accuracy_limits
    text = plot_front(candidates, budgets, easy_accuracy=easy).plain
    assert text.count("╌") > 40 if drawn else text.count("╌") == 1
    assert f"╌ {words}" in text
    assert "logistic" not in plot_front(candidates, budgets).plain
    assert plot_front([], Budgets(), easy_accuracy=easy).plain.endswith("no candidate has a measured latency")


def test_the_legend_has_room_below_the_axes_whatever_there_is(candidates, budgets):
    figure = draw_front([dataclasses.replace(one, by_hand=one.trial == 0) for one in candidates], budgets,
                        easy_accuracy=0.88)
    (legend,), renderer = figure.legends, figure.canvas.get_renderer()
    box, axes = legend.get_window_extent(renderer), figure.axes[0].get_tightbbox(renderer)
    assert len(legend.get_texts()) == 7
    assert box.y0 >= 0 and box.y1 <= axes.y0


def test_networks_made_by_hand_that_lie_below_the_axis_are_counted(candidates, budgets):
    by_hand = [dataclasses.replace(one, by_hand=one.trial in (0, 5)) for one in candidates]
    low = dataclasses.replace(candidates[5], trial=11, architecture="low", accuracy=0.2, by_hand=True)
    near = [dataclasses.replace(candidates[5], trial=trial, architecture=f"near {trial}") for trial in (12, 13)]
    (squares,) = marks(draw_front([*by_hand, low, *near], budgets), "s")
    assert (squares.get_label(), len(squares.get_xdata())) == ("made by hand (3, 1 below the axis)", 2)


def test_the_terminal_plot_shows_the_same_scene(candidates, budgets):
    lines = plot_front(candidates, budgets, width=60, height=20).plain.splitlines()
    plot, legend = lines[:18], " ".join(lines[20:])
    assert all(len(line) <= 60 for line in lines)
    signs = "".join(plot)
    assert (signs.count("★"), signs.count("●"), signs.count("o"), signs.count("·"), signs.count("'")) == (1, 2, 2, 2, 1)
    star, other = (next((line.index(sign), number) for number, line in enumerate(plot) if sign in line)
                   for sign in "★●")
    assert star[0] > other[0]  # to the right of the next on the front, and above it
    assert star[1] < other[1]
    for words in ("winner (trial 7)", "front (3)", "dominated (2)", "rejected before training (1)", "budget 0.09 ms"):
        assert words in legend


def test_the_budget_of_the_terminal_plot_parts_the_feasible_from_the_rest(candidates, budgets):
    plot = plot_front(candidates, budgets, width=90).plain.splitlines()[:16]
    column = plot[-2].index("┆")
    assert all(line[column] in "┆─·" for line in plot)
    assert all(max(line.rfind(sign) for sign in "★●o") < column for line in plot)
    assert plot[-1].index("'") > column

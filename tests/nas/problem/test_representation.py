import dataclasses

from evaluators.latency import Latency
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.problem.representation import Front, candidate_html, front_html

COSTS = Costs(1_500_168, 59_562, 50_176, 239_560, {"onnxruntime": Latency(0.0395, 0.0385, 0.0404, 0.05, 10, 0.1, 0.1,
                                                                         0.1, 0.0)})
TRAINED = Candidate(7, "in_r28_c1+fc_n10", accuracy=0.836, total=1000, epochs=3, trained=True, costs=COSTS,
                    state="complete")


def test_a_candidate_shows_what_is_known_of_it():
    shown = TRAINED._repr_html_()
    assert shown == candidate_html(TRAINED)
    for text in ("trial 7: trained", "83.60 [81.18, 85.77]", "latency (ms) on onnxruntime", "0.0395 [0.0385, 0.0404]",
                 "1.5M", "59.6k", "240 kB", "in_r28_c1+fc_n10"):
        assert text in shown


def test_what_is_not_known_is_left_out_and_a_reason_is_escaped():
    shown = candidate_html(Candidate(1, state="failed", reason="<script>alert(1)</script>"))
    assert "trial 1: impossible" in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "None" not in shown
    assert "accuracy" not in shown


def test_a_front_is_a_list_that_shows_a_row_for_each_candidate():
    front = Front([TRAINED, TRAINED])
    assert front == [TRAINED, TRAINED]
    assert front._repr_html_() == front_html(front)
    assert front_html(front, "the <front>").count("<tr>") == 3
    assert "latency (ms)" in front_html(front)
    untimed = dataclasses.replace(TRAINED, costs=Costs(1_500_168))
    assert "latency (ms)" not in front_html([untimed])
    assert "the &lt;front&gt;" in front_html(front, "the <front>")

from experiments.benchmarks.compilation import BEGINNING, summary, unseen
from search_spaces import Architecture


def networks(*blocks):
    return [Architecture.parse(f"in_r8_c1+conv_k3_c8_s1_relu+{block}+head_c8_relu_n10") for block in blocks]


def test_a_network_that_was_met_before_has_nothing_unseen():
    first, again = networks("mb_k3_e2_c8_s1_se0.25_relu", "mb_k3_e2_c8_s1_se0.25_relu")
    found = unseen([first, again])
    assert found["blocks"] == [3, 0]
    assert found["pieces"][0] > 3 and found["pieces"][1] == 0


def test_a_kernel_makes_a_new_block_of_which_one_piece_is_new():
    found = unseen(networks("mb_k3_e2_c8_s1_se0.25_relu", "mb_k5_e2_c8_s1_se0.25_relu"))
    assert (found["blocks"][1], found["pieces"][1]) == (1, 1)


def test_a_summary_compares_the_candidates_that_both_sides_had():
    run = {"seconds": {"blocks": [9.0] * BEGINNING + [1.0, 3.0], "network": [7.0, 9.0]}, "start_s": {"blocks": 1.5}}
    assert "mean 2.00 s, median 2.00 s; whole networks 8.00 s and 8.00 s; ratio of the means 0.250" in summary(run, 6)

import numpy as np
import pytest

from evaluators.prediction.workload import Workload
from search_spaces.zoo import load_network

NETWORKS = ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_1.5", "resnet18", "densenet121", "inception_v3")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_jobs_of_a_network_do_all_of_its_multiply_adds(name):
    network = load_network(name)
    workload = Workload.of([network])
    assert workload.counts @ workload.efforts[:, 1] == network.macs


def test_a_mobilenet_has_the_convolutions_that_its_paper_draws():
    workload = Workload.of([load_network("mobilenet_v2")])  # Sandler et al. 2018, table 2: 17 blocks, stem, last, head
    counts: dict[str, int] = {}
    for job, count in zip(workload.jobs, workload.counts[0], strict=True):
        counts[job.kind] = counts.get(job.kind, 0) + int(count)
    assert (counts["depthwise 3x3"], counts["convolution 1x1"], counts["convolution 3x3"]) == (17, 34, 1)
    assert counts["dense"] == 1


def test_networks_share_the_jobs_that_they_have_in_common():
    small, large = load_network("resnet18"), load_network("resnet34")
    both = Workload.of([small, large])
    assert set(both.jobs) == {*Workload.of([small]).jobs, *Workload.of([large]).jobs}
    assert len(both.jobs) < len(Workload.of([small]).jobs) + len(Workload.of([large]).jobs)
    assert np.array_equal(both.counts @ both.efforts[:, 1], [small.macs, large.macs])

"""A training that four devices share, in a process that has so many, against the same training on one."""

import os
import subprocess
import sys

import numpy as np

from evaluators.evaluator import Fidelity
from evaluators.recipe import Recipe
from evaluators.training.data_parallel import sharing
from evaluators.training.train import Images, train
from nas.testing import two_classes
from search_spaces import Architecture

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+fc_n2")
SCRIPT = """
import sys
import numpy as np
from evaluators.training.data_parallel import sharing
from tests.evaluators.training.test_data_parallel import trained

found = trained()
np.savez(sys.argv[1], **found.arrays)
shared = [sharing(batch, ()) for batch in (8, 9)]
print(found.compiled, found.accuracy, [len(one.devices) if one else 1 for one in shared])
"""


def trained():
    data = two_classes()
    images, validation = (Images.put(part.images, part.labels, data) for part in (data.train, data.validation))
    return train(NETWORK, images, validation, Fidelity(Recipe(2, 16, compile="network", mixup=0.2)))


def test_four_devices_train_as_one_does_and_one_trains_where_they_do_not_divide_the_batch(tmp_path):
    path = tmp_path / "arrays.npz"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], text=True, check=True, capture_output=True,
                          env=os.environ | {"XLA_FLAGS": flags})
    expected, found = trained(), np.load(path)
    assert done.stdout.strip() == f"network on 4 devices {expected.accuracy} [4, 1]"
    assert (expected.compiled, sharing(8, ())) == ("network", None)
    assert set(found) == set(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(found[name], array, atol=1e-5, err_msg=name)

"""What several tests of training ask of a domain and its versions."""

import numpy as np

from lsntp.training import latest_version
from lsntp.workspace import Workspace


def with_training(domain, **changes):
    """The domain with other training settings of its network."""
    network = domain.networks["net"]
    training = network.training.model_copy(update=changes)
    return domain.model_copy(
        update={"networks": {"net": network.model_copy(update={"training": training})}}
    )


def version_of(domain, model="net"):
    return latest_version(Workspace.of(domain).models, model)


def assert_equal_tensors(left, right):
    left, right = left.tensors(), right.tensors()
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)

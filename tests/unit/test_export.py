"""Which run is exported where none is named."""

import pytest

from hdkd import config
from hdkd.export import default_run


@pytest.mark.parametrize(
    ("subsets", "chosen"), [(["all", 200], "all"), ([200, "all"], "all"), ([400, 200], "400")]
)
def test_it_is_hdkd_on_most_images_whatever_their_order(parameters, subsets, chosen):
    parameters["datasets"]["phantom"]["subsets"] = subsets
    run = default_run(config.resolve(parameters), "phantom")
    assert (run.role, run.subset, run.seed, run.group) == ("hdkd", chosen, 0, "students")

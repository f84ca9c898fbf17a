"""One installation for the tests of a module, with the iris model served in it."""

import pytest

from installed import installation, iris_manifest, train


@pytest.fixture(scope="module")
def mizzen():
    with installation() as running:
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(folder)
    return folder


@pytest.fixture(scope="module")
def iris(mizzen, model):
    """The name of a service that is ready."""
    mizzen.apply(iris_manifest(model))
    mizzen.wait_ready("iris")
    return "iris"

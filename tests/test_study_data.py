"""The data of arXiv:2403.07059. Oracles: rows of the study's own files, its definitions, scikit-learn's scaler.

The numbers are from the files that the study publishes of its data for 10 features (XanaduAI/qml-benchmarks,
paper/plots/datasets-for-plots): the first and the last row of each, and a sum over all.
"""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from qmljax import datasets

MAKERS = {
    "linearly_separable": datasets.bowles_linearly_separable,
    "hidden_manifold": datasets.bowles_hidden_manifold,
    "two_curves": datasets.bowles_two_curves,
}
PUBLISHED = {
    "linearly_separable": (
        [
            -0.1681561239411402,
            0.35724771348055673,
            0.097899020093279,
            -0.44852738672893544,
            0.29265889099427955,
            -0.5915058273109532,
            0.38797656851833096,
            -0.9937782447535144,
            0.09754502752353944,
            -0.197864744887718,
        ],
        [
            0.6816898782652052,
            0.5720505440989376,
            -0.9724245909108982,
            0.8237609277549187,
            -0.4502485585532121,
            0.7759478859267519,
            -0.606063793821247,
            -0.12070849715052545,
            0.4987975886538274,
            0.2805578905543451,
        ],
        -9099.848819704162,
        2680,
    ),
    "hidden_manifold": (
        [
            0.5349517673690123,
            0.7519905530574701,
            0.9034241683972156,
            0.8287420360079538,
            0.9218473664858864,
            0.6255955488420367,
            0.8720238505871803,
            0.973092896138165,
            0.966798084836471,
            -0.8637400416717321,
        ],
        [
            0.40000329755517583,
            0.30696493131228036,
            0.923069595428618,
            0.7736728596815862,
            0.6307117374471956,
            0.7135046462242574,
            0.43170813685614995,
            0.9387583681148257,
            0.5271037342091394,
            -0.5000991088451101,
        ],
        34003.07256544944,
        -2670,
    ),
    "two_curves": (
        [
            1.2771927838412083,
            1.528205759562333,
            1.114641980150923,
            1.5390439496289285,
            1.0228772599832943,
            1.3263709500140424,
            1.1236369562449067,
            1.1519371900011812,
            0.7109024363795757,
            0.30078421158723184,
        ],
        [
            1.6005595288817027,
            1.3979329959982283,
            1.9545622387064712,
            0.7046596510751041,
            1.3806444534199125,
            1.9591281291555545,
            1.473049802399261,
            1.6487371243941953,
            1.5507430148322794,
            2.1574393232757494,
        ],
        -13227.267381177824,
        -1212,
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_data_are_those_of_the_study(name):
    """To the bit as far as NumPy's arithmetic is the same everywhere: 1e-13 allows for other linear algebra."""
    x, x_test, y, y_test = MAKERS[name]()
    assert x.shape == (240, 10) and x_test.shape == (60, 10) and y.shape == (240,) and y_test.shape == (60,)
    first, last, total, labels = PUBLISHED[name]
    np.testing.assert_allclose(x[0], first, rtol=0, atol=1e-13)
    np.testing.assert_allclose(x_test[-1], last, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.concatenate([x, x_test]).sum(axis=1) @ np.arange(300), total, rtol=1e-12)
    assert np.concatenate([y, y_test]) @ np.arange(300) == labels


@pytest.mark.parametrize("name", MAKERS)
def test_the_global_generator_is_left_alone(name):
    np.random.seed(7)
    expected = np.random.RandomState(7).rand(3)
    MAKERS[name](3, samples=10)
    np.testing.assert_array_equal(np.random.rand(3), expected)


def test_definitions():
    x, x_test, y, y_test = datasets.bowles_linearly_separable(4, samples=50, seed=1)
    both, labels = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    assert both.shape == (50, 4) and (abs(both) < 1).all() and (abs(both.sum(axis=1)) > 0.08).all()
    np.testing.assert_array_equal(labels, -np.sign(both.sum(axis=1)))
    x, x_test, y, y_test = datasets.bowles_hidden_manifold(12, manifold_dimension=3, samples=200)
    both = np.concatenate([x, x_test])
    assert y.sum() + y_test.sum() == 0
    flat = np.linalg.svd(np.arctanh(both) - np.arctanh(both).mean(axis=0), compute_uv=False)
    assert flat[2] > 1 and flat[3] < 1e-6 * flat[0]  # a manifold of three dimensions
    x, x_test, y, y_test = datasets.bowles_two_curves(3, samples=100, noise=0.0, offset=0.3, degree=2)
    both, labels = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    np.testing.assert_allclose(StandardScaler().fit_transform(both), both, atol=1e-12)
    assert labels.sum() == 0
    again = datasets.bowles_two_curves(3, samples=100, noise=0.0, offset=0.3, degree=2)
    np.testing.assert_array_equal(again[0], x)
    assert not np.allclose(datasets.bowles_two_curves(3, samples=100, seed=4)[0], x)


def test_wrong_numbers():
    for make in MAKERS.values():
        with pytest.raises(ValueError, match="`samples` must be an even number, but is 5"):
            make(3, samples=5)
        with pytest.raises(ValueError, match="`num_features` must be an integer from 2 on"):
            make(1)

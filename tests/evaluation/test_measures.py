"""Measures against closed forms."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest

from evaluation import measures
from evaluation.measures import (
    dead_units,
    distance_from_init,
    gradient_norm,
    mean_abs_weight,
    measure,
    rarely_active_units,
    singular_values,
    tau_dormant_units,
)


def of_features(rank):
    return lambda features, **how: rank(singular_values(features), **how)


approximate_rank, effective_rank, srank, true_stable_rank = map(
    of_features,
    (
        measures.approximate_rank,
        measures.effective_rank,
        measures.srank,
        measures.true_stable_rank,
    ),
)
RANKS = [effective_rank, srank, approximate_rank, true_stable_rank]


def with_singular_values(values, examples=20, seed=0):
    """Return a matrix (examples, len(values)) with the given singular values."""
    generator = np.random.default_rng(seed)
    left, _ = np.linalg.qr(generator.normal(size=(examples, len(values))))
    right, _ = np.linalg.qr(generator.normal(size=(len(values), len(values))))
    return left * np.array(values) @ right.T


def test_dead_units_are_zero_on_every_example():
    features = np.array([[0, 1, 0, 2], [0, 0, 0, 3]], dtype=np.float32)
    assert dead_units(features) == 0.5  # units 0 and 2; unit 1 is silent on one example only
    assert dead_units(np.full((3, 2), 1e-30)) == 0  # small is not dead


def test_tau_dormant_divides_all_dormant_units_by_all_units():
    first = np.array([[1.0, 0.0, -1.0, 2.0], [1.0, 0.0, 1.0, 0.0]])  # E|h| = 1, 0, 1, 1
    second = np.array([[10.0, 1.0], [10.0, 1.0]])  # s = 10 / 5.5, 1 / 5.5 = 0.18
    assert tau_dormant_units([first, second]) == pytest.approx(1 / 6)
    assert tau_dormant_units([first, second], tau=0.2) == pytest.approx(2 / 6)
    assert tau_dormant_units([first, second], tau=0) == pytest.approx(1 / 6)


def test_tau_dormant_is_relative_to_the_layer():
    layer = np.array([[0.01, 1.0, 1.0]])
    assert tau_dormant_units([layer]) == tau_dormant_units([layer * 1e-6]) == pytest.approx(1 / 3)


def test_a_silent_layer_is_dormant_and_dead():
    assert tau_dormant_units([np.zeros((5, 3)), np.ones((5, 1))]) == 0.75
    assert dead_units(np.zeros((5, 3))) == 1


def test_identity():
    features = np.eye(100)
    assert effective_rank(features) == pytest.approx(100)
    assert srank(features) == 99  # 99 of 100 equal values reach 99 %
    assert approximate_rank(features) == 99
    assert true_stable_rank(features) == pytest.approx(100)


def test_rounding_does_not_decide_a_tie():
    features = with_singular_values([0.1] * 200, examples=200)  # 198 of 200 are 99 %
    assert srank(features) == 198


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("rank", RANKS)
def test_k_equal_directions_have_rank_k(rank, k):
    assert rank(with_singular_values([2.0] * k + [0.0] * 5)) == pytest.approx(k)


def test_ranks_of_a_known_spectrum():
    features = with_singular_values([6.0, 3.0, 0.95, 0.05])  # sum 10; squares 36, 9, .9025, .0025
    p = np.array([0.6, 0.3, 0.095, 0.005])
    assert effective_rank(features) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert srank(features) == 3  # .6, .9, .995
    assert srank(features, delta=0.1) == 2
    assert srank(features, delta=0.001) == 4
    assert approximate_rank(features) == 3  # .784, .980, .99995
    assert approximate_rank(features, share=0.97) == 2
    assert true_stable_rank(features) == pytest.approx(45.905 / 36)


def test_srank_is_not_the_textbook_stable_rank():
    features = with_singular_values([1.0] + [0.1] * 9)
    assert srank(features) == 10
    assert true_stable_rank(features) == pytest.approx(1.09)


@pytest.mark.parametrize("rank", RANKS)
def test_one_unit(rank):
    assert rank(np.array([[1.0], [3.0]])) == pytest.approx(1)


@pytest.mark.parametrize("rank", RANKS)
def test_zero_features_have_rank_zero(rank):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank(np.zeros((4, 3))) == 0


@pytest.mark.parametrize("rank", RANKS)
def test_ranks_do_not_depend_on_scale_and_count_in_float64(rank):
    features = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    assert rank(features * np.float32(2**10)) == pytest.approx(rank(features), rel=1e-12)
    assert rank(features) == rank(features.astype(np.float64))


@pytest.mark.parametrize("function", [*RANKS, dead_units, lambda f: tau_dormant_units([f])])
def test_leading_dimensions_are_members(function):
    members = np.maximum(np.random.default_rng(0).normal(-1, 1, size=(2, 3, 6, 4)), 0)
    result = function(members)
    assert result.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert result[index] == pytest.approx(function(members[index]))


@pytest.mark.parametrize("function", [*RANKS, dead_units, lambda f: tau_dormant_units([f])])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_member_is_nan_and_leaves_others_alone(function, bad):
    members = np.random.default_rng(0).normal(size=(2, 6, 4))
    expected = function(members[0])
    members[1, 2, 3] = bad
    assert function(members)[0] == pytest.approx(expected)
    assert np.isnan(function(members)[1])


def test_mean_abs_weight_weighs_every_weight_alike():
    assert mean_abs_weight([np.array([[1.0, -3.0]]), np.full((2, 3), -2.0)]) == 16 / 8
    with pytest.raises(ValueError, match="weights"):
        mean_abs_weight([])


def test_distance_from_init_is_a_root_mean_square():
    initial = [np.zeros((2, 3)), np.ones(2)]
    assert distance_from_init(initial, initial) == 0
    moved = [np.full((2, 3), 1.0), np.array([2.0, 4.0])]  # squares 6 * 1, 1, 9
    assert distance_from_init(moved, initial) == pytest.approx(np.sqrt(16 / 8))


def test_distance_from_init_needs_the_same_shapes():
    with pytest.raises(ValueError, match="initial"):
        distance_from_init([np.zeros(3)], [np.zeros(1)])


def test_gradient_norm_is_one_norm_over_all():
    assert gradient_norm([np.array([3.0, 0.0]), np.array([[4.0]])]) == 5
    assert gradient_norm([np.array([1e30], dtype=np.float32)]) == pytest.approx(1e30)


@dataclass
class Network:
    """An inspection by hand."""

    features: list = field(default_factory=list)
    weights: list = field(default_factory=lambda: [np.array([[1.0, -1.0]])])
    parameters: list = field(default_factory=lambda: [np.array([[1.0, -1.0]]), np.array([2.0])])
    initial_parameters: list = field(default_factory=lambda: [np.zeros((1, 2)), np.zeros(1)])
    gradients: list = field(default_factory=lambda: [np.array([[0.0, 3.0]]), np.array([4.0])])


def test_measure_without_hidden_layer():
    assert measure(Network()) == {
        "mean_abs_weight": 1.0,
        "distance_from_init": pytest.approx(np.sqrt(2)),
        "gradient_norm": 5.0,
    }


def test_measure_pools_units_and_averages_ranks():
    wide = np.pad(np.eye(3), ((0, 0), (0, 3)))  # 6 units, 3 dead, rank 3
    result = measure(Network(features=[wide, np.ones((3, 2))]))  # 2 units, rank 1
    assert result == {
        "dead_units": pytest.approx(3 / 8),
        "tau_dormant_units": pytest.approx(3 / 8),
        "srank_99": pytest.approx(2),
        "srank_99_last": 1.0,
        "effective_rank": pytest.approx(2),
        "approximate_rank": pytest.approx(2),
        "true_stable_rank": pytest.approx(2),
        "mean_abs_weight": 1.0,
        "distance_from_init": pytest.approx(np.sqrt(2)),
        "gradient_norm": 5.0,
    }
    assert all(type(value) is float for value in result.values())


def test_units_active_on_less_than_a_hundredth_are_rare():
    layers = [np.array([0.0, 0.009, 0.01, 1.0]), np.array([0.5])]
    assert rarely_active_units(layers) == 2 / 5
    shown = Network(features=[np.ones((3, 4)), np.ones((3, 1))])
    assert "rarely_active_units" not in measure(shown)
    shown.active = layers
    assert measure(shown)["rarely_active_units"] == 2 / 5


def test_measure_survives_a_diverged_network():
    result = measure(Network(features=[np.full((3, 2), np.nan)], gradients=[np.array([np.nan])]))
    assert np.isnan([result["dead_units"], result["srank_99"], result["gradient_norm"]]).all()
    assert result["mean_abs_weight"] == 1


def test_a_negative_unit_is_not_dead():
    assert dead_units(np.full((3, 2), -1.0)) == 0  # of tanh, or of a leaky ReLU


def test_measure_passes_on_what_is_rare():
    shown = Network(features=[np.ones((3, 4))])
    shown.active = [np.array([0.0, 0.009, 0.01, 1.0])]
    assert measure(shown)["rarely_active_units"] == 0.5
    assert measure(shown, rare_at_most=True)["rarely_active_units"] == 0.75


def test_spectra_are_of_float64():
    features = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    exact = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(singular_values(features), exact, rtol=1e-12)

"""Intervals: closed forms, coverage by simulation, and what is undefined."""

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import (
    interquartile_mean,
    iqm,
    mean_interval,
    median,
    paired_difference,
    ratio_of_means,
    stratified_bootstrap,
)

THIRTY = np.random.default_rng(1).normal(1.0, 0.3, 30)


def ends(interval):
    return interval.low, interval.high


def test_t_interval_by_hand():
    # mean 2, standard deviation 1, t(0.975, 2) = 4.302653: 2 -+ 4.302653 / sqrt(3)
    interval = mean_interval([1, 2, 3])
    assert (interval.estimate, interval.kind, interval.n) == (2, "t", 3)
    assert ends(interval) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_level_widens():
    assert mean_interval([1, 2, 3], level=0.99).high > mean_interval([1, 2, 3]).high


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.7]])
def test_fewer_than_three_have_no_interval(values):
    interval = mean_interval(values)
    assert interval.estimate == pytest.approx(np.mean(values))
    assert (ends(interval), interval.kind) == ((None, None), "none")
    assert interval.note == "no interval below 3 seeds"


def test_bootstrap_from_thirty_on():
    assert mean_interval(THIRTY[:29]).kind == "t"
    interval = mean_interval(THIRTY)
    assert interval.kind == "bootstrap"
    half = 1.96 * THIRTY.std() / np.sqrt(30)
    assert ends(interval) == pytest.approx((THIRTY.mean() - half, THIRTY.mean() + half), abs=0.01)


def test_no_values():
    interval = mean_interval([])
    assert (interval.estimate, interval.n, interval.note) == (None, 0, "no values")


@pytest.mark.parametrize("function", [mean_interval, median, iqm])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_run_makes_the_result_undefined(function, bad):
    interval = function([0.5, 0.6, bad, 0.7])
    assert (interval.estimate, *ends(interval), interval.kind) == (None, None, None, "none")
    assert (interval.n, interval.note) == (4, "1 of 4 values not finite")


def test_paired_difference_is_the_interval_of_the_differences():
    a, b = [5.0, 7.0, 9.0, 14.0], [4.0, 5.0, 6.0, 10.0]
    assert paired_difference(a, b) == mean_interval([1, 2, 3, 4])


@pytest.mark.parametrize("function", [paired_difference, ratio_of_means])
def test_pairs_need_equal_lengths(function):
    with pytest.raises(ValueError, match="3 and 2 values"):
        function([1, 2, 3], [1, 2])


def test_values_must_be_one_per_seed():
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        mean_interval([[1, 2], [3, 4]])


def test_ratio_is_of_means_not_a_mean_of_ratios():
    # A mean of ratios would be (1 + 2 + 4) / 3 = 7 / 3.
    assert ratio_of_means([2, 4, 6], [2, 2, 1.5]).estimate == pytest.approx(12 / 5.5)


def test_fieller_ends_are_where_the_t_test_turns():
    x, y = np.array([1.0, 1.2, 1.5, 0.9, 1.3]), np.array([2.0, 2.1, 2.6, 1.8, 2.2])
    interval = ratio_of_means(x, y)
    assert interval.kind == "fieller"
    assert interval.low < interval.estimate < interval.high
    for end in ends(interval):
        assert stats.ttest_1samp(x - end * y, 0).pvalue == pytest.approx(0.05)


def test_fieller_without_noise_in_the_denominator_is_the_t_interval_scaled():
    x = [1.0, 2.0, 3.0]
    assert ends(ratio_of_means(x, [2, 2, 2])) == pytest.approx(np.array(ends(mean_interval(x))) / 2)


def test_ratio_to_itself_is_one():
    interval = ratio_of_means([0.5, 0.7, 0.8], [0.5, 0.7, 0.8])
    assert (interval.estimate, *ends(interval)) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("n", [5, 40])
def test_ratio_over_what_may_be_zero_is_undefined(n):
    noise = np.random.default_rng(2).normal(0, 1, n)
    interval = ratio_of_means(np.ones(n), noise - noise.mean() + 0.01)
    assert (interval.estimate, *ends(interval), interval.kind) == (None, None, None, "none")
    assert interval.note == "denominator's interval includes 0"


def test_ratio_of_two_pairs_has_no_interval():
    interval = ratio_of_means([1, 2], [2, 4])
    assert (interval.estimate, *ends(interval)) == (0.5, None, None)
    assert ratio_of_means([1, 2], [1, -1]).note == "denominator is 0"


def test_ratio_with_a_diverged_run():
    interval = ratio_of_means([1, np.nan, 1], [1, 1, np.nan])
    assert (interval.estimate, interval.note) == (None, "2 of 3 values not finite")


def test_ratio_bootstrap_keeps_pairs_together():
    # Numerators that are twice the denominators have no spread, whatever is resampled.
    interval = ratio_of_means(2 * THIRTY, THIRTY)
    assert interval.kind == "bootstrap"
    assert ends(interval) == pytest.approx((2, 2))


@pytest.mark.parametrize("n", [4, 7, 10, 11])
def test_interquartile_mean_is_scipys_trimmed_mean(n):
    values = np.random.default_rng(n).normal(size=(3, n))
    expected = stats.trim_mean(values, 0.25, axis=-1)
    np.testing.assert_allclose(interquartile_mean(values), expected)
    assert iqm(values[0]).estimate == pytest.approx(expected[0])


def test_median_by_hand():
    assert median([3, 1, 2, 10]).estimate == 2.5


@pytest.mark.parametrize("function", [median, iqm])
def test_order_statistics_need_ten(function):
    few, enough = function(THIRTY[:9]), function(THIRTY[:10])
    assert (few.kind, few.low, few.note) == ("none", None, "no interval below 10 seeds")
    assert (enough.kind, enough.n) == ("bootstrap", 10)
    assert enough.low < enough.estimate < enough.high


def test_strata_are_resampled_apart():
    # Two problems of very different level, no spread within: resampling across would show one.
    interval = stratified_bootstrap([np.zeros(10), np.ones(10)], lambda v: v.mean(axis=-1))
    assert (interval.estimate, *ends(interval), interval.n) == (0.5, 0.5, 0.5, 10)


def test_strata_pool_their_values():
    strata = [THIRTY[:10], THIRTY[10:30]]
    interval = stratified_bootstrap(strata)
    assert interval.estimate == pytest.approx(stats.trim_mean(THIRTY, 0.25))
    assert interval.n == 10
    assert stratified_bootstrap([THIRTY[:9], THIRTY]).low is None


def test_no_strata():
    with pytest.raises(ValueError, match="strata"):
        stratified_bootstrap([])


SEEDED = {
    "mean_interval": lambda seed: mean_interval(THIRTY, seed=seed),
    "paired_difference": lambda seed: paired_difference(THIRTY, THIRTY[::-1] / 2, seed=seed),
    "ratio_of_means": lambda seed: ratio_of_means(THIRTY, THIRTY[::-1], seed=seed),
    # Resampled medians take few values, so that most levels have the same ends for every seed.
    "median": lambda seed: median(THIRTY, level=0.9, seed=seed),
    "iqm": lambda seed: iqm(THIRTY, seed=seed),
    "stratified_bootstrap": lambda seed: stratified_bootstrap([THIRTY, THIRTY + 1], seed=seed),
}


@pytest.mark.parametrize("name", SEEDED)
def test_the_seed_and_nothing_else_changes_a_bootstrap(name):
    interval = SEEDED[name]
    np.random.seed(0)
    first = interval(0)
    np.random.seed(1)
    assert interval(0) == first
    others = [interval(seed) for seed in (1, 2, 3)]
    assert all(other.estimate == first.estimate for other in others)
    assert any(ends(other) != ends(first) for other in others)


def coverage(interval_of, truth, trials, seed):
    generator = np.random.default_rng(seed)
    intervals = [interval_of(generator) for _ in range(trials)]
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


def test_t_interval_covers_at_five_seeds():
    covered = coverage(lambda g: mean_interval(g.normal(1, 2, 5)), 1, trials=2000, seed=0)
    assert covered == pytest.approx(0.95, abs=0.015)


def test_fieller_covers_at_five_seeds():
    def interval(generator):
        shared = generator.normal(0, 0.1, 5)
        return ratio_of_means(
            0.8 + shared + generator.normal(0, 0.1, 5), 1 + shared + generator.normal(0, 0.05, 5)
        )

    assert coverage(interval, 0.8, trials=2000, seed=0) == pytest.approx(0.95, abs=0.015)


def test_bootstrap_covers_at_thirty_seeds():
    covered = coverage(lambda g: mean_interval(g.normal(1, 2, 30)), 1, trials=1000, seed=0)
    # P(|t_29| < 1.96 sqrt(29 / 30)) = 0.936: the percentile bootstrap is a little narrow.
    assert covered == pytest.approx(0.936, abs=0.02)


AT_LEVEL = {
    "t": lambda level: mean_interval(THIRTY[:5], level),
    "bootstrap": lambda level: mean_interval(THIRTY, level),
    "paired": lambda level: paired_difference(THIRTY[:5], THIRTY[5:10] / 2, level),
    "fieller": lambda level: ratio_of_means(THIRTY[:5], THIRTY[5:10], level),
    "ratio": lambda level: ratio_of_means(THIRTY, THIRTY[::-1], level),
    "median": lambda level: median(THIRTY, level),
    "iqm": lambda level: iqm(THIRTY, level),
    "stratified": lambda level: stratified_bootstrap([THIRTY, THIRTY + 1], level=level),
}


@pytest.mark.parametrize("name", AT_LEVEL)
def test_every_interval_widens_with_the_level(name):
    low, high = ends(AT_LEVEL[name](0.8))
    wider = ends(AT_LEVEL[name](0.99))
    assert wider[0] < low < high < wider[1]


def test_whether_a_denominator_may_be_zero_is_asked_at_the_level_given():
    top, bottom = (
        [1.0, 2.0, 3.0],
        [0.5, 2.0, 3.5],
    )  # the denominator: 2 -+ 3.73 at 0.95, 1.63 at 0.8
    assert ratio_of_means(top, bottom).estimate is None
    assert ratio_of_means(top, bottom, level=0.8).estimate == 1


@pytest.mark.parametrize("factor", [0.1, 3])
def test_proportional_pairs_have_an_interval_without_width_whatever_the_rounding(factor):
    bottom = np.array([0.7, 0.8, 0.9])
    interval = ratio_of_means(factor * bottom, bottom)
    assert (interval.estimate, *ends(interval)) == pytest.approx((factor,) * 3)

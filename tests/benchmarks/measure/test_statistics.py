import numpy as np
import pytest

from benchmarks.measure import statistics


def test_median_and_interval_of_known_values() -> None:
    estimate = statistics.median([5.0, 1.0, 4.0, 2.0, 3.0])
    assert estimate.value == 3.0
    assert estimate.n == 5
    # The median of 5 draws with replacement from 5 values is the smallest or the largest in 5.8 % of cases each: more
    # than 2.5 %, so the interval reaches both ends.
    assert (estimate.low, estimate.high) == (1.0, 5.0)


def test_one_repeat_has_no_interval() -> None:
    assert statistics.median([3.0]) == statistics.Estimate(3.0, 1, None, None)


def test_equal_repeats_have_an_interval_without_width() -> None:
    assert statistics.median([2.0, 2.0, 2.0]) == statistics.Estimate(2.0, 3, 2.0, 2.0)


def test_same_data_give_the_same_interval() -> None:
    repeats = np.random.default_rng(3).normal(size=(9, 7)).tolist()
    assert statistics.quantile(repeats, 0.9) == statistics.quantile(repeats, 0.9)


def test_quantile_pools_tokens_and_resamples_repeats() -> None:
    # Ten answers, uniform inside and different from each other: ten repeats say little, however many tokens they have.
    repeats = [[float(level)] * 500 for level in range(10)]
    estimate = statistics.quantile(repeats, 0.5)
    assert estimate.value == 4.5
    assert estimate.n == 10
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.high - estimate.low > 3  # resampling the 5000 tokens would give less than 0.5


def test_quantile_of_answers_of_different_lengths() -> None:
    estimate = statistics.quantile([[1.0, 2.0, 3.0], [4.0]], 0.5)
    assert estimate.value == 2.5
    assert estimate.low == 2.0
    assert estimate.high == 4.0


def test_ratio_is_taken_pair_by_pair() -> None:
    # The machine becomes ten times slower halfway; each pair still gives 2.
    estimate = statistics.ratio([2.0, 4.0, 20.0, 40.0], [1.0, 2.0, 10.0, 20.0])
    assert estimate == statistics.Estimate(2.0, 4, 2.0, 2.0)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        statistics.ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("n", [5, 7, 10, 20])
def test_interval_covers_the_truth_about_as_often_as_it_says(n: int, skewed: bool) -> None:
    draw = np.random.default_rng(0)
    rounds, covered = 300, 0
    for _ in range(rounds):
        values = draw.exponential(size=n) if skewed else draw.normal(size=n)
        estimate = statistics.median(values.tolist())
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= (np.log(2) if skewed else 0) <= estimate.high
    assert 0.90 <= covered / rounds <= 0.995


def test_half_width_is_that_of_the_interval_or_of_the_spread() -> None:
    assert statistics.half_width([3.0]) == np.inf
    assert statistics.half_width([2.0, 2.0, 2.0]) == 0
    found = statistics.median(values := [1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    assert found.low is not None
    assert found.high is not None
    assert statistics.half_width(values) >= (found.high - found.low) / 2 / found.value
    # Most values are equal, so the interval is narrow; the spread shows that they are less steady.
    assert statistics.half_width([1.0] * 30 + [3.0]) > 0.1

"""How far two samples of one feature are apart: the drift metrics of Azure's monitors, by their names in the YAML.

The definitions are those of data_drift_compute_metrics/{numerical,categorical}_data_drift_metrics.py and
shared_utilities/histogram_utils.py. `before` is the reference (there: baseline), `now` is production.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import chisquare, ks_2samp, wasserstein_distance

LEAST_RANGE = 1e-300  # of numbers that bins can tell apart; below 2e-308 a float loses its digits
LEAST_DEVIATION = 0.001  # what Wasserstein's distance is divided by at least
MOST_ROWS_OF_KS = 10_000  # from here on Azure's component refuses the Kolmogorov-Smirnov test

Numbers = np.ndarray


def edges(before: Numbers, now: Numbers) -> Numbers:
    """Bins of equal width over both samples: ceil(log2(n) + 1) of them (Sturges), n the smaller sample's size.

    One value only, or several that are too near to be divided: one bin around them.
    """
    low, high = min(before.min(), now.min()), max(before.max(), now.max())
    if high - low < LEAST_RANGE:
        delta = 0.005 if abs(low) < LEAST_RANGE else abs(low * 0.005)
        return np.array([low - delta, low + delta])
    count = math.ceil(math.log2(min(len(before), len(now))) + 1)
    return low + np.arange(count + 1) * ((high - low) / count)


def histogram(values: Numbers, bins: Numbers) -> Numbers:
    """int (len(bins) - 1,): how many values lie in each bin, as PySpark's RDD.histogram counts them.

    It divides by the width where all bins are as wide, the last edge counts to the last bin, and what rounding has put
    beyond the last edge counts nowhere.
    """
    inside = values[(values >= bins[0]) & (values <= bins[-1])]
    steps = np.diff(bins)
    if steps.max() - steps.min() < 1e-10:
        places = ((inside - bins[0]) / ((bins[-1] - bins[0]) / len(steps))).astype(int)
    else:
        places = np.searchsorted(bins, inside, side="right") - 1
    return np.bincount(np.minimum(places, len(steps) - 1), minlength=len(steps))


def jensen_shannon_numerical(before: Numbers, now: Numbers) -> float:
    """The Jensen-Shannon distance (the root of the divergence, base 2: 0 to 1) of the two histograms."""
    bins = edges(before, now)
    was, found = histogram(before, bins), histogram(now, bins)
    if not (was.any() and found.any()):  # a side is the highest value only, which rounding has put beyond the last edge
        bins[-1] = max(before.max(), now.max())
        was, found = histogram(before, bins), histogram(now, bins)
    return _jensen_shannon(was, found)


def normalized_wasserstein(before: Numbers, now: Numbers) -> float:
    """Wasserstein's distance in standard deviations (n - 1) of the reference, which count as 0.001 at least."""
    deviation = float(before.std(ddof=1)) if len(before) > 1 else 0.0
    return float(wasserstein_distance(before, now)) / max(deviation, LEAST_DEVIATION)


def population_stability_numerical(before: Numbers, now: Numbers) -> float:
    """The population stability index of the two histograms, each bin one larger than it is, so that none is empty."""
    bins = edges(before, now)
    return _population_stability(histogram(before, bins), histogram(now, bins), len(before), len(now))


def kolmogorov_smirnov(before: Numbers, now: Numbers) -> float:
    """The p-value of the two-sample test. Azure computes none where a side has 10,000 rows or more."""
    return float(ks_2samp(before, now).pvalue)


def jensen_shannon_categorical(before: Sequence[str], now: Sequence[str]) -> float:
    return _jensen_shannon(*_counts(before, now))


def population_stability_categorical(before: Sequence[str], now: Sequence[str]) -> float:
    return _population_stability(*_counts(before, now), len(before), len(now))


def chi_squared(before: Sequence[str], now: Sequence[str]) -> float:
    """The p-value of Pearson's test of production against the reference's shares; 0 where a category is new."""
    was, found = _counts(before, now)
    if len(was) == 1:
        return 1.0  # one category on both sides: nothing to test
    with np.errstate(divide="ignore"):
        return float(chisquare(found, was / len(before) * len(now)).pvalue)


NUMERICAL: dict[str, Callable[[Numbers, Numbers], float]] = {
    "jensen_shannon_distance": jensen_shannon_numerical,
    "normalized_wasserstein_distance": normalized_wasserstein,
    "population_stability_index": population_stability_numerical,
    "two_sample_kolmogorov_smirnov_test": kolmogorov_smirnov,
}
CATEGORICAL: dict[str, Callable[[Sequence[str], Sequence[str]], float]] = {
    "jensen_shannon_distance": jensen_shannon_categorical,
    "population_stability_index": population_stability_categorical,
    "pearsons_chi_squared_test": chi_squared,
}


def _counts(before: Sequence[str], now: Sequence[str]) -> tuple[Numbers, Numbers]:
    was, found = Counter(before), Counter(now)
    every = sorted(was.keys() | found.keys())
    return np.array([was[name] for name in every]), np.array([found[name] for name in every])


def _jensen_shannon(before: Numbers, now: Numbers) -> float:
    return float(np.nan_to_num(jensenshannon(before, now, base=2)))  # nan: rounding below nought, of equal samples


def _population_stability(before: Numbers, now: Numbers, rows_before: int, rows_now: int) -> float:
    was = (before + 1) / (rows_before + len(before))
    found = (now + 1) / (rows_now + len(now))
    return float(((found - was) * np.log(found / was)).sum())

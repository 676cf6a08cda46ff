"""The gate: whether a model may take the champion's place."""

from dataclasses import dataclass

import numpy as np

MARGIN = 0.002  # of the test set: a smaller loss is not worth a refusal
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and the numbers it says it for; the champion's are None if there is none."""

    passed: bool
    reason: str
    accuracy: float
    champion_accuracy: float | None = None
    mcnemar_p: float | None = None


def judge(right: np.ndarray, champion: np.ndarray | None, threshold: float) -> Verdict:
    """Judge a candidate by which test digits it gets right, bool (n,), against the champion's on the same digits.

    It fails below `threshold`, and if it is worse than the champion by more than MARGIN *and* significantly so.
    """
    accuracy = float(np.mean(right))
    if champion is None:
        if accuracy < threshold:
            return Verdict(False, f"{accuracy:.2%} is below the threshold of {threshold:.2%}", accuracy)
        return Verdict(True, f"{accuracy:.2%} reaches the threshold of {threshold:.2%}; there is no champion", accuracy)

    theirs = float(np.mean(champion))
    p = mcnemar(int(np.sum(right & ~champion)), int(np.sum(~right & champion)))
    # Counted, not subtracted as accuracies: 0.990 - 0.988 > 0.002 in floating point.
    lost = int(np.sum(champion)) - int(np.sum(right))
    compared = f"{accuracy:.2%} against the champion's {theirs:.2%} (McNemar p = {p:.2g})"
    if accuracy < threshold:
        passed, reason = False, f"{accuracy:.2%} is below the threshold of {threshold:.2%}"
    elif lost > round(MARGIN * len(right), 6) and p < SIGNIFICANCE:
        passed, reason = False, f"significantly worse: {compared}"
    else:
        passed, reason = (
            True,
            f"{'better' if lost < 0 else 'equal' if lost == 0 else 'not significantly worse'}: {compared}",
        )
    return Verdict(passed, reason, accuracy, theirs, p)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of McNemar's test, from how many each of two models alone gets right.

    Under the null hypothesis the smaller count is binomial with probability 1/2; mid-p counts the observed value half.
    Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data", BMC Medical Research
    Methodology 13:91 (2013), who recommend it over the exact and the asymptotic test.
    """
    from scipy.special import bdtr

    n, least = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    below = float(bdtr(least - 1, n, 0.5)) if least else 0.0
    return min(1.0, float(bdtr(least, n, 0.5)) + below)

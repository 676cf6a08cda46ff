"""The gate: whether a model may take the champion's place."""

import math
from dataclasses import dataclass, replace

import numpy as np

MARGIN = 0.002  # of the test set: a smaller loss is not worth a refusal
SIGNIFICANCE = 0.05
AGREEMENT = 0.1  # labels are not believed if shuffled ones agree with a model as often, more probably than this


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and the numbers it says it for; the champion's are None if there is none."""

    passed: bool
    reason: str
    accuracy: float
    champion_accuracy: float | None = None
    mcnemar_p: float | None = None
    accuracy_new: float | None = None
    champion_accuracy_new: float | None = None
    mcnemar_p_new: float | None = None
    agreement_p: float | None = None


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


def judge_new(
    so_far: Verdict, right: np.ndarray, champion: np.ndarray | None, chance: float = 0.0, agreement: float = AGREEMENT
) -> Verdict:
    """Judge it once more, by which held-out digits of a new hand it and the champion get right, bool (n,).

    It passes if it did `so_far`, is significantly better than the champion, and the labels of the new hand can be
    believed: `chance`, what `by_chance` says of them and the champion's answers, must not be above `agreement`.
    Without a champion there is nothing to be better than.
    """
    accuracy = float(np.mean(right))
    if champion is None:
        reason = f"{so_far.reason}; {accuracy:.2%} on the new hand"
        return replace(so_far, reason=reason, accuracy_new=accuracy)
    theirs = float(np.mean(champion))
    gained, lost = int(np.sum(right & ~champion)), int(np.sum(~right & champion))
    p = mcnemar(gained, lost)
    known = replace(so_far, accuracy_new=accuracy, champion_accuracy_new=theirs, mcnemar_p_new=p, agreement_p=chance)
    compared = (
        f"{accuracy:.2%} against the champion's {theirs:.2%} of {len(right)} held-out digits (McNemar p = {p:.2g})"
    )
    if chance > agreement:
        reason = (
            f"the labels of the new hand agree with the champion's answers no more than shuffled ones would "
            f"(p = {chance:.2g}); look at some images and their labels"
        )
        return replace(known, passed=False, reason=reason)  # the cause, whatever else such labels did
    if not so_far.passed:
        return replace(known, reason=f"{so_far.reason}; on the new hand {compared}")
    if not (gained > lost and p < SIGNIFICANCE):
        reason = f"not significantly better on the new hand: {compared}; label more, and look whether labels are right"
        return replace(known, passed=False, reason=reason)
    return replace(known, reason=f"{so_far.reason}; better on the new hand: {compared}")


def by_chance(labels: np.ndarray, answers: np.ndarray) -> float:
    """How likely labels that are shuffled would agree with a model's answers at least as often, both (n,) of 0..9.

    Even a model that reads a hand badly is right more often than that, so it tells labels that were mixed up, moved by
    one or all the same. The number of agreements under shuffling has the mean and variance of the diagonal of a table
    with both margins given (Everitt, "Moments of the statistics kappa and weighted kappa", British Journal of
    Mathematical and Statistical Psychology 21, 1968), and is taken for normal.
    """
    n = len(labels)
    mine, theirs = np.bincount(labels, minlength=10).astype(float), np.bincount(answers, minlength=10).astype(float)
    both = mine * theirs
    mean = both.sum() / n
    # Var N_kk = both_k (n - mine_k) (n - theirs_k) / n^2 (n - 1); Cov N_jj N_kk = both_j both_k / n^2 (n - 1).
    variance = (both * (n - mine) * (n - theirs)).sum() + both.sum() ** 2 - (both**2).sum()
    if n < 2 or variance <= 0:
        return 1.0
    z = (int(np.sum(labels == answers)) - 0.5 - mean) / math.sqrt(variance / (n**2 * (n - 1)))
    return 0.5 * math.erfc(z / math.sqrt(2))


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

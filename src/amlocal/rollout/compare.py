"""The figures of two deployments that were asked the same, and whether the new one is worse. Nothing but arithmetic.

Who bears the load is slower. So the new deployment is slower only if it passes the bounds (`Limits.slowdown`,
`Limits.SLOWER_MS`) over what the other takes now, perhaps idle, and over what it took in the beginning, when it had the
traffic. And it must not be chance (the exact one-sided sign test over the pairs of answers, at CHANCE:
https://en.wikipedia.org/wiki/Sign_test) nor one bad moment: both halves of the pairs pass the bounds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

CHANCE = 0.01


@dataclass(frozen=True)
class Limits:
    """How much worse than what serves now a deployment may be.

    errors: requests it fails that the other answers. slowdown: times the other's median and 95th percentile, which it
    passes by at least SLOWER_MS. disagreement: the share (0..1) of requests that both answer, and differently.
    """

    errors: int = 0
    slowdown: float = 1.5
    disagreement: float = 0.05
    SLOWER_MS: ClassVar[float] = 5.0

    def milliseconds(self, now: float) -> float:
        """The longest that may be where the other takes `now`."""
        return max(now * self.slowdown, now + self.SLOWER_MS)


@dataclass(frozen=True)
class Answer:
    """What one deployment said to one request: the text, or why there is none."""

    milliseconds: float
    text: str | None
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True)
class Pair:
    """The answers of both to one request; `now` is None where there is nothing to compare with.

    difference: in words, None if they agree or one of them has failed.
    """

    request: str
    now: Answer | None
    new: Answer
    difference: str | None = None


@dataclass(frozen=True)
class Names:
    """now: the deployment that serves, None if none does; new: the one that is to take over."""

    now: str | None
    new: str

    def by(self, now: Any, new: Any) -> dict[str, Any]:
        return ({self.now: now} if self.now else {}) | {self.new: new}


def figures(pairs: Sequence[Pair], names: Names) -> dict[str, Any]:
    """{"probes", "errors", "median_ms", "p95_ms", "disagreement"}; errors and times by deployment.

    A time is None where nothing was answered, disagreement where nothing was answered by both.
    """
    now, new = times_of_now(pairs), [pair.new.milliseconds for pair in pairs if pair.new.ok]
    both = [pair for pair in pairs if pair.now and pair.now.ok and pair.new.ok]
    failed = (sum(not pair.now.ok for pair in pairs if pair.now), sum(not pair.new.ok for pair in pairs))
    return {
        "probes": len(pairs),
        "errors": names.by(*failed),
        "median_ms": names.by(_rounded(now, 0.5), _rounded(new, 0.5)),
        "p95_ms": names.by(_rounded(now, 0.95), _rounded(new, 0.95)),
        "disagreement": round(sum(pair.difference is not None for pair in both) / len(both), 4) if both else None,
    }


def failing(pairs: Sequence[Pair], limits: Limits, names: Names) -> str | None:
    """Why the new one fails too often, with figures; None if it does not. Holds as soon as it holds.

    What the other fails, too, is not its fault, and neither is it when the other alone fails at least as often.
    """
    new_only = [pair for pair in pairs if not pair.new.ok and (pair.now is None or pair.now.ok)]
    now_only = [pair for pair in pairs if pair.new.ok and pair.now and not pair.now.ok]
    if len(new_only) <= max(limits.errors, len(now_only)):
        return None
    asked = sum(pair.now is None or pair.now.ok for pair in pairs)
    which = f"that {names.now} answered" if names.now else "that it was asked"
    counted = f"{len(new_only)} of {asked} {_plural(asked, 'request')} {which}"
    allowed = f" (--max-errors allows {limits.errors})" if limits.errors else ""
    return f"{names.new} failed {counted}{allowed}; {new_only[0].request}: {new_only[0].new.error}"


def slower(
    pairs: Sequence[Pair], limits: Limits, names: Names, before: Sequence[float] = (), early: bool = False
) -> str | None:
    """Why the new one is slower than allowed, in the middle or at its slowest; None if it is not.

    before: the milliseconds that the other took in the beginning. early: there are few pairs yet, so only the median.
    """
    both = [
        (pair.now.milliseconds, pair.new.milliseconds) for pair in pairs if pair.now and pair.now.ok and pair.new.ok
    ]
    if len(both) < 2:
        return None
    for name, share in (("median", 0.5),) if early else (("median", 0.5), ("95th percentile", 0.95)):
        took = quantile(before, share) if before else 0.0
        parts = [_ends(part, share) for part in (both, both[: len(both) // 2], both[len(both) // 2 :])]
        now, new = parts[0]
        bound = limits.milliseconds(max(now, took))
        if share == 0.5:
            more, less = sum(b > a for a, b in both), sum(a > b for a, b in both)
        else:  # of the few that are very slow, how many are whose
            more, less = sum(b > bound >= a for a, b in both), sum(a > bound >= b for a, b in both)
        if all(new > limits.milliseconds(max(now, took)) for now, new in parts) and chance(more, less) < CHANCE:
            other = f"{names.now} takes {now:.1f} ms" if now >= took else f"{names.now} took {took:.1f} ms"
            return (
                f"{names.new} is slower: {new:.1f} ms where {other} ({name} of {len(both)} requests); --max-slowdown"
                f" {limits.slowdown:g} allows {bound:.1f} ms"
            )
    return None


def _ends(pairs: Sequence[tuple[float, float]], share: float) -> tuple[float, float]:
    now, new = zip(*pairs, strict=True)
    return quantile(now, share), quantile(new, share)


def disagreeing(pairs: Sequence[Pair], limits: Limits, names: Names) -> str | None:
    """Why the new one answers otherwise more often than allowed; None if it does not."""
    both = [pair for pair in pairs if pair.now and pair.now.ok and pair.new.ok]
    differing = [pair for pair in both if pair.difference]
    if not both or len(differing) <= limits.disagreement * len(both):
        return None
    return (
        f"{names.new} answers otherwise than {names.now} to {len(differing)} of {len(both)} requests"
        f" ({percent(len(differing) / len(both))}; --max-disagreement allows {percent(limits.disagreement)});"
        f" {differing[0].request}: {differing[0].difference}"
    )


def worse(pairs: Sequence[Pair], limits: Limits, names: Names) -> str | None:
    """Why the new one's answers are worse, when all the probes of a step are in; None if they are not."""
    if pairs and not any(pair.new.ok for pair in pairs):
        neither = (
            "" if names.now is None or any(pair.now and pair.now.ok for pair in pairs) else f" (nor did {names.now})"
        )
        first = f"{pairs[0].request}: {pairs[0].new.error}"
        return f"{names.new} answered none of {len(pairs)} requests{neither}; {first}"
    return failing(pairs, limits, names) or disagreeing(pairs, limits, names)


def times_of_now(pairs: Sequence[Pair]) -> list[float]:
    """The milliseconds that the deployment which serves took for its answers."""
    return [pair.now.milliseconds for pair in pairs if pair.now and pair.now.ok]


def chance(more: int, less: int) -> float:
    """How probable `more` or more of `more + less` are when both are equally likely (exact binomial)."""
    n = more + less
    log = math.lgamma(n + 1) - n * math.log(2)
    return min(sum(math.exp(log - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in range(more, n + 1)), 1.0)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not pass."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rounded(values: Sequence[float], share: float) -> float | None:
    return round(quantile(values, share), 2) if values else None


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"

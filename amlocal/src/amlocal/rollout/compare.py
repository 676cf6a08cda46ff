"""The figures of two deployments that were asked the same, and whether the new one is worse. Nothing but arithmetic.

Who bears the load is slower. So the new deployment is slower only if it passes the bounds (`Limits.slowdown`,
`Limits.SLOWER_MS`) over what the other takes now, perhaps idle, and over what it took in the beginning, when it had the
traffic. And it must not be chance (the exact one-sided sign test over the pairs of answers, at CHANCE:
https://en.wikipedia.org/wiki/Sign_test) nor one bad moment: both halves of the pairs pass the bounds.

Errors and answers are judged over all steps so far, each request once however often it was asked. Who bears the load
also refuses more (429): what the other was refused while it had the traffic speaks for the new one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

CHANCE = 0.01  # of what is looked at again and again
CHANCE_OF_ANSWERS = 0.05


@dataclass(frozen=True)
class Limits:
    """How much worse than what serves now a deployment may be.

    errors: requests it fails, also when asked again, that the other answers. slowdown: times the other's median and
    95th percentile, which it passes by at least SLOWER_MS. disagreement: the share (0..1) of requests that both answer,
    and differently.
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
    """What one deployment said to one request: the text, or why there is none; busy: it may be that of the load."""

    milliseconds: float
    text: str | None
    error: str | None = None
    busy: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None

    def failed(self, busy: bool) -> bool:
        return not self.ok and self.busy == busy


@dataclass(frozen=True)
class Pair:
    """The answers of both to one request; `now` is None where there is nothing to compare with.

    request: its name, which no other has. difference: in words, None if they agree or one of them has failed.
    again: whether the new one, which has failed, has failed again when it was asked once more.
    """

    request: str
    now: Answer | None
    new: Answer
    difference: str | None = None
    again: bool = False


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

    What the other fails, too, is not its fault, and neither is it when the other alone fails at least as often, in the
    same way: both busy, or both not. What it answers when asked again counts only if it is more than chance.
    """
    answered = [pair for pair in pairs if pair.now is None or pair.now.ok]
    which = f"that {names.now} answered" if names.now else "that it was asked"
    allowed = f" (--max-errors allows {limits.errors})" if limits.errors else ""
    for busy in (False, True):
        new_only = [pair for pair in answered if not pair.new.ok and pair.new.busy == busy]
        others = sum(pair.new.ok and pair.now is not None and pair.now.failed(busy) for pair in pairs)
        for_good = {pair.request: pair for pair in new_only if pair.again}
        now_and_then = [pair for pair in new_only if not pair.again]
        if len(for_good) > max(limits.errors, others):
            first, count, asked = next(iter(for_good.values())), len(for_good), len({each.request for each in answered})
            counted = f"{count} of {asked} {_plural(asked, 'request')} {which}"
        elif len(now_and_then) > limits.errors and chance(len(now_and_then), others) < CHANCE:
            first, count, asked = now_and_then[0], len(now_and_then), len(answered)
            counted = f"{count} of {asked} times, and then answered" + (f" ({names.now} {others})" if names.now else "")
        else:
            continue
        return f"{names.new} failed {counted}{allowed}; {first.request}: {first.new.error}"
    return None


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
    """Why the new one answers otherwise than allowed, and not by chance; None if it does not.

    Of each request the last answers count. Chance: so many or more of these requests are not probable
    (CHANCE_OF_ANSWERS) when the new one answers just as much otherwise as is allowed. One request, or one of two, is
    too much without it.
    """
    both = list({pair.request: pair for pair in pairs if pair.now and pair.now.ok and pair.new.ok}.values())
    differing = [pair for pair in both if pair.difference]
    if len(differing) <= limits.disagreement * len(both):
        return None
    probable = tail(len(differing), len(both), limits.disagreement) >= CHANCE_OF_ANSWERS
    if probable and 2 * len(differing) < len(both):
        return None
    return (
        f"{names.new} answers otherwise than {names.now} to {len(differing)} of {len(both)} requests"
        f" ({percent(len(differing) / len(both))}; --max-disagreement allows {percent(limits.disagreement)});"
        f" {differing[0].request}: {differing[0].difference}"
    )


def worse(pairs: Sequence[Pair], limits: Limits, names: Names, earlier: Sequence[Pair] = ()) -> str | None:
    """Why the new one's answers are worse, when all the probes of a step are in; None if they are not.

    Who answers less than half of them has not shown anything, whatever the other does. earlier: of the steps before.
    """
    failed = [pair for pair in pairs if not pair.new.ok]
    if 2 * len(failed) > len(pairs):
        others = f" ({names.now} {sum(pair.now.ok for pair in pairs if pair.now)})" if names.now else ""
        answered = f"{len(pairs) - len(failed) or 'none'} of {len(pairs)} times"
        return f"{names.new} answered {answered}{others}; {failed[0].request}: {failed[0].new.error}"
    everything = [*earlier, *pairs]
    return failing(everything, limits, names) or disagreeing(everything, limits, names)


def times_of_now(pairs: Sequence[Pair]) -> list[float]:
    """The milliseconds that the deployment which serves took for its answers."""
    return [pair.now.milliseconds for pair in pairs if pair.now and pair.now.ok]


def chance(more: int, less: int) -> float:
    """How probable `more` or more of `more + less` are when both are equally likely."""
    return tail(more, more + less, 0.5)


def tail(least: int, n: int, share: float) -> float:
    """How probable `least` or more of `n` are where each comes with probability `share` (exact binomial)."""
    if not 0 < share < 1:
        return float(least <= share * n)
    log = math.lgamma(n + 1)
    each = (
        log - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(share) + (n - k) * math.log1p(-share)
        for k in range(least, n + 1)
    )
    return min(sum(map(math.exp, each)), 1.0)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not pass."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rounded(values: Sequence[float], share: float) -> float | None:
    return round(quantile(values, share), 2) if values else None


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"

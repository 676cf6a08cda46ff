"""The peers, each by its own package: River, online-cp, Evidently; and alibi-detect, which needs an older NumPy."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .exchange import Columns
from .ks import Windows
from .runs import Method, Option

BEST = 2  # statistics that are tried as a detector's one, of those that tell both real hands best
WARM, WARM_TUNED = 1_000, 300  # reference values a detector that has no reference is first shown: as it comes, tuned
SLOW, SLOWER, SLOWEST = 200_000, 100_000, 30_000  # clean ticks for what takes 2, 50 and 1,000 microseconds a tick


class Peers:
    """The methods of each package, made of the digits of one exchange."""

    def __init__(self, reference: Columns, pool: Columns, known: dict[str, np.ndarray], quick: bool) -> None:
        """quick: look up what KSWIN asks SciPy, which takes its time; what it costs is measured without."""
        self.reference, self.pool, self.quick = reference, pool, quick
        self.numeric = [name for name in reference if name != "prediction" and not name.startswith("probability")]
        # Detectors of River look at means and at numbers in 0..1: a value's rank in the reference is one.
        self.ranks = {name: _ranks(np.sort(reference[name]), pool[name]) for name in self.numeric}

        def told_apart(name: str) -> float:
            return sum(abs(float(self.ranks[name][known[hand]].mean()) - 0.5) for hand in ("devanagari", "japanese"))

        self.best = sorted(set(self.numeric) - {"confidence"}, key=told_apart)[-BEST:]
        warm = np.random.default_rng(0).permutation(len(reference["confidence"]))[:WARM_TUNED]
        own = {name: _ranks(np.sort(reference[name]), reference[name])[warm] for name in self.numeric}
        self.warm = {name: values.tolist() for name, values in own.items()}

    # -- River

    def river(self) -> list[Method]:
        """ADWIN, Page-Hinkley and KSWIN as they come, and tuned: on the confidence, and on the best statistic."""
        from river import drift

        if self.quick:
            drift.kswin.stats = SimpleNamespace(ks_2samp=_ks_2samp)
        plain = self.pool["confidence"].astype(float)
        quiet = self.reference["confidence"][:WARM].astype(float).tolist()
        defaults = {
            "ADWIN": lambda: _shown(drift.ADWIN(), quiet),
            "PageHinkley": lambda: _shown(drift.PageHinkley(), quiet),
            "KSWIN": lambda: drift.KSWIN(seed=0, window=quiet[:100]),
        }
        made = [
            Method(
                f"River {name}, defaults",
                [Option("on the confidence", steps=_watching(make, plain), threshold=1.0)],
                tuned=False,
                clean=SLOW,
            )
            for name, make in defaults.items()
        ]
        for what, names in (("confidence", ["confidence"]), ("best statistic", self.best)):
            for detector, options, clean in (
                ("ADWIN", self._adwin, SLOW),
                ("PageHinkley", self._page, SLOW),
                ("KSWIN", self._kswin, SLOWER),
            ):
                settings = [option for name in names for option in options(name)]
                made.append(Method(f"River {detector}, tuned, {what}", settings, clean=clean))
        return made

    def _adwin(self, name: str) -> list[Option]:
        from river import drift

        def make(delta: float) -> Callable[[], Any]:
            return lambda: _shown(drift.ADWIN(delta=delta, clock=1, min_window_length=2), self.warm[name])

        return [
            Option(f"delta={delta:g}, clock=1, {name}", steps=_watching(make(delta), self.ranks[name]), threshold=1.0)
            for delta in (0.9, 0.6, 0.3, 0.1, 0.03)
        ]

    def _page(self, name: str) -> list[Option]:
        from river import drift

        def option(delta: float) -> Option:
            def steps(stream: np.ndarray) -> Iterator[float]:
                detector = _shown(drift.PageHinkley(delta=delta, threshold=np.inf), self.warm[name])
                for value in self.ranks[name][stream].tolist():
                    detector.update(value)
                    # What it compares with its threshold.
                    yield max(
                        detector._sum_increase - detector._min_increase,
                        detector._max_decrease - detector._sum_decrease,
                    )

            return Option(f"delta={delta:g}, {name}", steps=steps)

        return [option(delta) for delta in (0.05, 0.15, 0.3)]

    def _kswin(self, name: str) -> list[Option]:
        from river import drift

        def option(window: int, size: int) -> Option:
            def steps(stream: np.ndarray) -> Iterator[float]:
                detector = drift.KSWIN(0.0, window, size, seed=0, window=self.warm[name][:window])
                for value in self.ranks[name][stream].tolist():
                    detector.update(value)
                    yield -np.log(max(detector.p_value, 1e-300))

            return Option(f"window_size={window}, stat_size={size}, {name}", steps=steps)

        return [option(window, size) for window, size in ((100, 30), (300, 16))]

    # -- online-cp

    def online_cp(self) -> list[Method]:
        """Shiryaev-Roberts of a conformal martingale: p-values of one score against the reference, a power bet."""
        from online_cp.betting import FixedStrategy
        from online_cp.martingale import PluginMartingale, ShiryaevRobertsWrapper

        rng = np.random.default_rng(0)
        counts = {
            "distance": _stranger(self.reference["distance"], self.pool["distance"]),
            "confidence": _stranger(-self.reference["confidence"], -self.pool["confidence"]),
        }
        size = len(self.reference["distance"])

        def option(name: str, power: float, threshold: float | None = None) -> Option:
            strategy = FixedStrategy(
                pdf=lambda p: power * p ** (power - 1), cdf=lambda p: p**power, check_integration=False
            )

            def steps(stream: np.ndarray) -> Iterator[float]:
                detector = ShiryaevRobertsWrapper(PluginMartingale(strategy, store_p_values=False))
                more, equal = (each[stream] for each in counts[name])
                # Smoothed conformal p-values, as its classifiers have them.
                for value in ((more + rng.random(len(stream)) * (equal + 1)) / (size + 1)).tolist():
                    detector.update(value)
                    yield detector.R

            return Option(f"{name}, bet {power:g} p^{power - 1:.1f}", steps=steps, threshold=threshold)

        tuned = [option(name, power) for name in counts for power in (0.1, 0.2, 0.3, 0.5)]
        return [
            Method("online-cp Shiryaev-Roberts, threshold 10,000", [option("distance", 0.3, 1e4)], False, clean=SLOW),
            Method("online-cp Shiryaev-Roberts, tuned", tuned, clean=SLOW),
        ]

    # -- Evidently

    def evidently(self) -> list[Method]:
        """Its K-S test of every numeric column in chunks, tuned; and DataDriftPreset as it comes."""
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType
        from pandas import Series

        types = {**dict.fromkeys(self.numeric, ColumnType.Numerical), "prediction": ColumnType.Categorical}
        reference = {name: Series(self.reference[name]) for name in types}

        def share(digits: np.ndarray) -> float:
            drifted = 0
            for name, kind in types.items():
                current = Series(self.pool[name][digits])
                test = get_stattest(reference[name], current, kind, None)
                drifted += bool(test(reference[name], current, kind, None).drifted)
            return drifted / len(types)

        def preset(size: int) -> Option:
            def steps(stream: np.ndarray) -> Iterator[float]:
                for tick in range(1, len(stream) + 1):
                    yield 0.0 if tick % size else share(stream[tick - size : tick])

            return Option("half of the columns drifted", steps=steps, threshold=0.5, chunk=size)

        windows = Windows([self.reference[n] for n in self.numeric], [self.pool[n] for n in self.numeric])
        self._check(windows, get_stattest, ColumnType.Numerical)
        made = [
            Method(
                f"Evidently K-S, chunks of {size}, tuned",
                [Option("least p of all columns", lambda s, size=size: windows.chunks(s, size), chunk=size)],
            )
            for size in (20, 50, 100)
        ]
        hands = ("sudden-devanagari", "sudden-japanese")
        for size in (20, 100):
            name = f"Evidently DataDriftPreset, chunks of {size}, defaults"
            made.append(Method(name, [preset(size)], tuned=False, only=hands, clean=5_000))
        return made

    def _check(self, windows: Windows, get_stattest: Callable[..., Any], numerical: Any) -> None:
        """Evidently's own test on some chunks: the p-values must fall as the distances here grow."""
        from pandas import Series

        rng = np.random.default_rng(0)
        name = self.numeric[0]
        chunks = rng.integers(len(self.pool[name]), size=(40, 20))
        alone = Windows([self.reference[name]], [self.pool[name]])
        distances = alone.chunks(chunks, 20)[:, -1]
        reference = Series(self.reference[name])
        test = get_stattest(reference, reference, numerical, "ks")
        told = [test(reference, Series(self.pool[name][chunk]), numerical, None).drift_score for chunk in chunks]
        if not (np.diff(np.array(told)[np.argsort(distances)]) <= 1e-9).all():
            raise SystemExit("detectors.rivals: Evidently's K-S test orders chunks otherwise than detectors.ks")

    # -- alibi-detect

    def alibi(self) -> list[Method]:
        """The online Cramer-von Mises detector's own statistic, with a threshold found as for all others."""
        from alibi_detect.cd import CVMDriftOnline

        names = ["confidence", "distance"]
        rows = np.random.default_rng(0).permutation(len(self.reference["confidence"]))[:300]
        own = np.column_stack([self.reference[name][rows] for name in names]).astype(float)
        values = np.column_stack([self.pool[name] for name in names]).astype(float)
        # A short expected run time: its own thresholds are not used, and those for a long one take minutes.
        detector = CVMDriftOnline(own, ert=50, window_sizes=[10], n_bootstraps=1_000, verbose=False)

        def steps(stream: np.ndarray) -> Iterator[float]:
            detector.reset_state()
            for row in values[stream]:
                yield float(np.nan_to_num(detector.score(row), nan=-1e9).max())

        option = Option(f"{', '.join(names)}; window of 10, 300 digits of the reference", steps=steps)
        hands = ("sudden-devanagari", "sudden-japanese")
        return [Method("alibi-detect online CVM, tuned", [option], only=hands, clean=SLOWEST)]


def _ranks(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The share of `ordered` below each value, ties counted half: 0 to 1."""
    sides = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    return (sides[0] + sides[1]) / (2 * len(ordered))


def _stranger(reference: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of the reference are stranger than each of the scores, and how many just as strange."""
    ordered = np.sort(reference)
    up_to = np.searchsorted(ordered, scores, side="right")
    return len(ordered) - up_to, up_to - np.searchsorted(ordered, scores, side="left")


def _shown(detector: Any, values: list[float]) -> Any:
    for value in values:
        detector.update(value)
    return detector


def _watching(make: Callable[[], Any], values: np.ndarray) -> Callable[[np.ndarray], Iterator[float]]:
    def steps(stream: np.ndarray) -> Iterator[float]:
        detector = make()
        for value in values[stream].tolist():
            detector.update(value)
            yield float(detector.drift_detected)

    return steps


_known: dict[tuple[int, int], float] = {}


def _ks_2samp(one: list[float], other: list[float], method: str) -> tuple[float, float]:
    """What scipy's says of two samples of one size: its p-value is a function of the distance, so it is asked once."""
    from scipy.stats import ks_2samp

    size = len(one)
    both = np.array(one + other)
    # At each value, how many more of the one lie at or below it than of the other.
    counts = np.searchsorted(np.sort(both[:size]), both, "right") - np.searchsorted(np.sort(both[size:]), both, "right")
    apart = int(np.abs(counts).max())
    if (size, apart) not in _known:
        _known[size, apart] = float(ks_2samp(one, other, method=method).pvalue)
    return apart / size, _known[size, apart]

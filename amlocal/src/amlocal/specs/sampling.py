"""What a sweep tries next: Azure's three sampling algorithms and its distributions, drawn by optuna.

Distributions and rules: "Hyperparameter tuning a model" and the reference of the sweep job's YAML in Microsoft's
documentation. optuna keeps the history and makes the draws: random ones, Sobol's sequence, and for bayesian its TPE
(tree-structured Parzen estimator). It knows no normal distributions: for these it draws a quantile.
"""

import itertools
import math
import warnings
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from amlocal.core.errors import UserError

if TYPE_CHECKING:
    import optuna

# Distribution -> the fields it needs.
FIELDS = {
    "choice": ("values",),
    "randint": ("upper",),
    "uniform": ("min_value", "max_value"),
    "quniform": ("min_value", "max_value", "q"),
    "loguniform": ("min_value", "max_value"),
    "qloguniform": ("min_value", "max_value", "q"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
}
# Algorithm -> the distributions it takes; Azure refuses the others when the job is submitted.
TAKES = {
    "random": tuple(FIELDS),
    "grid": ("choice",),
    "bayesian": ("choice", "uniform", "quniform"),
}


class Search:
    """One sweep's trials, in the order they are asked for.

    `space` maps each parameter to its distribution as azure-ai-ml writes it (`{"type": "uniform", "min_value": ...}`),
    `algorithm` is `{"type": "random" | "grid" | "bayesian"}` with `seed`, `rule` and `logbase` for random. Not
    thread-safe: one sweep asks and tells from one thread. Raises UserError where `problem` would say something.
    """

    def __init__(self, space: dict[str, dict[str, Any]], algorithm: dict[str, Any], goal: str) -> None:
        wrong = problem(space, algorithm)
        if wrong:
            raise UserError(f"search_space: {wrong}")
        self._space = space
        self._algorithm = algorithm
        self._study = None if algorithm["type"] == "grid" else _study(algorithm, goal)
        self._trials: dict[int, optuna.Trial] = {}
        # Every combination, the last parameter changing fastest; only a grid looks at it.
        self._grid = enumerate(itertools.product(*(spec.get("values", ()) for spec in space.values())))

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """The next trial's number, from 0, and its values; None when a grid has been tried whole."""
        if self._study is None:
            number, point = next(self._grid, (None, ()))
            return None if number is None else (number, dict(zip(self._space, point, strict=True)))
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number, {name: self._draw(trial, name, spec) for name, spec in self._space.items()}

    def tell(self, number: int, metric: float | None) -> None:
        """How the trial ended: its primary metric, or None if it failed, was canceled or reported none."""
        trial = self._trials.pop(number, None)
        if self._study is None or trial is None:  # a grid learns nothing
            return
        from optuna.trial import TrialState

        if metric is None or not math.isfinite(metric):
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, metric)

    def _draw(self, trial: "optuna.Trial", name: str, spec: dict[str, Any]) -> Any:
        """One value of a distribution, by the formulas of Microsoft's documentation."""
        kind = spec["type"]
        if kind == "choice":
            # The place in the list: a value may be anything, and optuna's must be hashable. Where it learns from what
            # it has tried, neighbours in the list must not count as near.
            last = len(spec["values"]) - 1
            learning = self._algorithm["type"] == "bayesian"
            place = trial.suggest_categorical(name, range(last + 1)) if learning else trial.suggest_int(name, 0, last)
            return spec["values"][place]
        if kind == "randint":
            return trial.suggest_int(name, 0, int(spec["upper"]) - 1)
        if "min_value" in FIELDS[kind]:
            drawn = trial.suggest_float(name, spec["min_value"], spec["max_value"])
        else:
            quantile = trial.suggest_float(name, 0.0, 1.0)
            inside = min(max(quantile, 1e-12), 1 - 1e-12)  # 0 and 1 lie infinitely far out
            drawn = NormalDist(spec["mu"], spec["sigma"]).inv_cdf(inside)
        if "log" in kind:
            base = self._algorithm.get("logbase") or "e"
            drawn = math.exp(drawn) if base == "e" else float(base) ** drawn
        return _rounded(drawn, spec["q"]) if "q" in FIELDS[kind] else drawn


def problem(space: dict[str, dict[str, Any]], algorithm: dict[str, Any]) -> str | None:
    """What is wrong with a sweep's `search_space`, given its sampling algorithm, in one line; None if nothing is."""
    kind = algorithm.get("type")
    if kind not in TAKES:
        return f'sampling_algorithm "{kind}" is none of {", ".join(TAKES)}'
    if not space:
        return "it is empty; name at least one parameter"
    for name, spec in space.items():
        wrong = _wrong_distribution(spec, kind)
        if wrong:
            return f"{name}: {wrong}"
    base = algorithm.get("logbase")
    if base is not None and base != "e" and not (isinstance(base, int | float) and base > 0 and base != 1):
        return f'sampling_algorithm.logbase {base!r} is neither "e" nor a positive number other than 1'
    return None


def _wrong_distribution(spec: dict[str, Any], algorithm: str) -> str | None:
    kind = spec.get("type")
    if kind not in FIELDS:
        return f'type "{kind}" is none of {", ".join(FIELDS)}'
    if kind not in TAKES[algorithm]:
        return f'{algorithm} sampling takes {", ".join(TAKES[algorithm])} only, not {kind}; take "random" or a choice'
    missing = [field for field in FIELDS[kind] if spec.get(field) is None]
    if missing:
        return f"{kind} needs {' and '.join(missing)}"
    if kind == "choice":
        return _wrong_choice(spec["values"])
    unfit = [field for field in FIELDS[kind] if not _number(spec[field])]
    if unfit:
        return f"{unfit[0]} is {spec[unfit[0]]!r}, not a number"
    if "min_value" in spec and spec["min_value"] > spec["max_value"]:
        return f"min_value {spec['min_value']} is greater than max_value {spec['max_value']}"
    if kind == "randint" and (spec["upper"] != int(spec["upper"]) or spec["upper"] < 1):
        return f"upper is {spec['upper']}: an integer of at least 1 is needed, for 0..upper-1"
    for field in ("q", "sigma"):
        if field in FIELDS[kind] and spec[field] <= 0:
            return f"{field} is {spec[field]}; it must be positive"
    return None


def _wrong_choice(values: Any) -> str | None:
    if not isinstance(values, list) or not values:
        return "choice needs a list of at least one value"
    for value in values:
        if isinstance(value, dict) and any(_is_distribution(inner) for inner in value.values()):
            return "a choice whose value holds a distribution of its own (a conditional space) is not supported here"
    return None


def _is_distribution(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") in FIELDS


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _study(algorithm: dict[str, Any], goal: str) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = algorithm.get("seed")
    sampler: optuna.samplers.BaseSampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if algorithm["type"] == "bayesian":
            sampler = optuna.samplers.TPESampler(seed=seed)
        elif algorithm.get("rule") == "sobol":
            sampler = optuna.samplers.QMCSampler(
                qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False
            )
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.create_study(sampler=sampler, direction="minimize" if goal.lower() == "minimize" else "maximize")


def _rounded(value: float, q: float) -> float:
    """round(value / q) * q, an integer for an integer q, and 0.3 rather than 0.30000000000000004."""
    multiple = round(value / q)
    return multiple * int(q) if float(q).is_integer() else round(multiple * q, 12)

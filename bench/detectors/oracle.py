"""What could be done at best: a CUSUM that knows the foreign digits, and Lorden's bound on any detector.

Page's CUSUM of the log-likelihood ratio has the least worst delay of all (Lorden, "Procedures for reacting to a change
in distribution", 1971; Moustakides 1986), to first order ln(ticks per false alarm) / KL. The ratio comes from a
classifier that tells half of the foreign digits from the reference, by the columns and the embedding; streams are made
of the other half.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import runs
from .runs import Method, Option, Trial
from .streams import KINDS, OFTEN, WRITER
from .world import World

NAME = "oracle: CUSUM that knows the foreign digits"
SELDOM = 1e-3  # a class that is gone is still seen so often, by mistake


def rows(world: World, trial: Trial) -> list[dict[str, Any]]:
    """One row of `runs.examine`, put together of an oracle for each kind of streams, with `lorden` for each kind."""
    ratios = {name: _ratio(world, name) for name in world.known}
    found, lorden, alarms, ticks = {}, {}, 0, 0
    for kind in KINDS:
        ratio = _hard_ratio(kind.name, world, ratios) if kind.table == "hard" else ratios[kind.foreign]
        option = Option("", _cusum(ratio))
        row = runs.examine(Method(NAME, [option], only=(kind.name,), clean=500_000), trial)
        found[kind.name] = row["delays"][kind.name]
        alarms, ticks = alarms + row["false_alarms"], ticks + row["clean_ticks"]
        lorden[kind.name] = -np.log(trial.rate) / _divergence(ratio, kind.name, world)
    merged = {"name": NAME, "setting": "a classifier for each kind", "threshold": None, "tuned": True, "note": ""}
    return [{**merged, "false_alarms": alarms, "clean_ticks": ticks, "delays": found, "lorden": lorden, "seconds": 0.0}]


def _ratio(world: World, name: str) -> np.ndarray:
    """log f(foreign) / f(clean) of every digit of the pool, as a classifier tells it."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    def table(columns: dict[str, np.ndarray], embedding: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        return np.column_stack([*(values[rows] for values in columns.values()), embedding[rows]])

    clean = table(world.reference, world.reference_embedding, slice(None))
    foreign = table(world.pool, world.embedding, world.known[name])
    balance = np.r_[np.full(len(clean), 1 / len(clean)), np.full(len(foreign), 1 / len(foreign))]
    classifier = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.2, early_stopping=False, random_state=0)
    with threadpool_limits(1):  # its threads wait for each other by turning round, which a busy machine makes endless
        classifier.fit(np.r_[clean, foreign], np.r_[np.zeros(len(clean)), np.ones(len(foreign))], balance * len(clean))
        odds: np.ndarray = classifier.decision_function(table(world.pool, world.embedding, slice(None)))
    return odds


def _hard_ratio(kind: str, world: World, ratios: dict[str, np.ndarray]) -> np.ndarray:
    """The same where only frequencies change: by the predicted class; or by the chance of another hand."""
    if kind == "writer":
        return np.log(1 - WRITER + WRITER * np.exp(np.minimum(ratios["devanagari"], 50)))
    share = float((world.reference["prediction"] == 1).mean())
    ones = SELDOM if kind == "missing" else OFTEN
    return np.where(world.pool["prediction"] == 1, np.log(ones / share), np.log((1 - ones) / (1 - share)))


def _divergence(ratio: np.ndarray, kind: str, world: World) -> float:
    """KL(foreign, clean) at least, by Donsker and Varadhan's bound for this ratio, on digits it was not made with."""
    clean = ratio[world.clean]
    if kind == "writer":
        changed = (1 - WRITER) * clean.mean() + WRITER * ratio[world.unseen["devanagari"]].mean()
    elif kind in ("missing", "shift"):
        ones = 0.0 if kind == "missing" else OFTEN
        changed = ones * clean[world.labels == 1].mean() + (1 - ones) * clean[world.labels != 1].mean()
    else:
        changed = ratio[world.unseen[kind.split("-")[1]]].mean()
    return float(changed - np.log(np.exp(clean).mean()))


def _cusum(ratio: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def paths(streams: np.ndarray) -> np.ndarray:
        path = ratio[streams]
        for tick in range(1, path.shape[1]):
            path[:, tick] += np.maximum(path[:, tick - 1], 0)
        return path

    return paths

"""One signal: two tables in, measures out, each beside its threshold."""

from dataclasses import dataclass

from amlocal.core.errors import UserError
from amlocal.monitors import drift, features, quality
from amlocal.monitors.tables import Table
from amlocal.specs.monitor import DRIFT, P_VALUES, Signal

# How often one of eight numerical features exceeds a threshold of 0.1, Azure's default, though nothing has changed, and
# from how many rows on hardly ever: measured on windows of images of handwriting.
LOW_THRESHOLD = 0.1
ENOUGH_ROWS = {"jensen_shannon_distance": 500, "normalized_wasserstein_distance": 2000}
FALSE_ALARMS = {
    "jensen_shannon_distance": "100 % of windows of 100 rows, 89 % of 200, 3 % of 500",
    "normalized_wasserstein_distance": "100 % of windows of 100 rows, 25 % of 500, 2 % of 1,000",
}


@dataclass(frozen=True)
class Measure:
    """A metric of a feature. kind: numerical or categorical."""

    feature: str
    kind: str
    metric: str
    value: float
    threshold: float

    @property
    def violated(self) -> bool:
        """As model_monitor_evaluate_metrics_threshold decides: a p-value below its threshold, all else above."""
        return self.value < self.threshold if self.metric in P_VALUES else self.value > self.threshold


@dataclass(frozen=True)
class Outcome:
    """What a signal has come to. rows: of the whole window, whatever its features lack."""

    signal: Signal
    rows: int
    reference_rows: int
    measures: list[Measure]
    notices: list[str]

    @property
    def violations(self) -> list[Measure]:
        return [measure for measure in self.measures if measure.violated]


def outcome(signal: Signal, production: Table, reference: Table) -> Outcome:
    """Compute a signal. Raises UserError when the two tables have nothing to compare."""
    notices = [*signal.notices, *production.notices, *reference.notices]
    chosen = features.names(production, reference, signal.features, notices)
    for name in signal.overrides.keys() - set(chosen):
        notices.append(f"{name}: feature_type_override names it, but it is not among the features")
    compared = _drift if signal.type in DRIFT else _quality
    measures = compared(signal, production, reference, chosen, notices)
    if signal.type in DRIFT:
        notices += _false_alarms(measures, min(production.rows, reference.rows))
    return Outcome(signal, production.rows, reference.rows, measures, notices)


def _drift(signal: Signal, production: Table, reference: Table, chosen: list[str], notices: list[str]) -> list[Measure]:
    measures = []
    for feature in features.for_drift(production, reference, chosen, signal.overrides, notices):
        thresholds = signal.thresholds[feature.kind]
        rows = len(feature.production.values), len(feature.reference.values)
        told = "Azure computes no Kolmogorov-Smirnov test of 10,000 rows or more"
        if (
            told not in notices
            and "two_sample_kolmogorov_smirnov_test" in thresholds
            and max(rows) >= drift.MOST_ROWS_OF_KS
        ):
            notices.append(told)
        if feature.kind == "numerical":
            before, now = features.numbers(feature.reference), features.numbers(feature.production)
            values = {metric: drift.NUMERICAL[metric](before, now) for metric in thresholds}
        else:
            named_now, named_before = features.categories(feature)
            values = {metric: drift.CATEGORICAL[metric](named_before, named_now) for metric in thresholds}
            if len(set(named_before)) == len(named_before) > 1:
                notices.append(
                    f"{feature.name}: no value comes twice, it is an identifier; name the features to compare"
                )
        measures += [
            Measure(feature.name, feature.kind, metric, values[metric], thresholds[metric]) for metric in values
        ]
    if not measures:
        raise UserError("none of its features is of the same type on both sides: " + "; ".join(notices))
    return measures


def _quality(
    signal: Signal, production: Table, reference: Table, chosen: list[str], notices: list[str]
) -> list[Measure]:
    """A threshold is what production may be worse than the reference (data_quality_metrics_joiner/run.py)."""
    known = quality.bounds(reference, chosen, signal.overrides)
    before = quality.rates(reference, chosen, known, signal.overrides)
    now = quality.rates(production, chosen, known, signal.overrides)
    measures = []
    for name in chosen:
        as_kind = features.kind(name, reference.columns[name], signal.overrides)
        for metric, threshold in signal.thresholds[as_kind].items():
            if metric in now[name] and metric in before[name]:
                allowed = before[name][metric] + threshold
                measures.append(Measure(name, as_kind, metric, now[name][metric], allowed))
    return measures


def _false_alarms(measures: list[Measure], rows: int) -> list[str]:
    """What to say of thresholds that are too low for so few rows."""
    low: dict[str, float] = {}
    for measure in measures:
        if measure.threshold <= LOW_THRESHOLD and rows < ENOUGH_ROWS.get(measure.metric, 0):
            low[measure.metric] = max(measure.threshold, low.get(measure.metric, 0.0))
    return [
        f"{rows} rows are few for {metric} with a threshold of {threshold:g}: with 0.1, unchanged data raise a "
        f"false alarm in about {FALSE_ALARMS[metric]}; take a longer window or a higher threshold"
        for metric, threshold in low.items()
    ]

"""A monitor as its schedule's YAML defines it, checked: signals, windows, thresholds, with the defaults of azure-ai-ml.

Field names are those of Microsoft's "CLI (v2) schedule YAML schema for model monitoring".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from amlocal.core.errors import UserError

DRIFT = ("data_drift", "prediction_drift")
COMPUTED = (*DRIFT, "data_quality")

# Per kind of feature, in the order in which azure-ai-ml (entities/_monitoring/thresholds.py) looks for one.
DRIFT_METRICS = {
    "numerical": (
        "jensen_shannon_distance",
        "normalized_wasserstein_distance",
        "population_stability_index",
        "two_sample_kolmogorov_smirnov_test",
    ),
    "categorical": ("jensen_shannon_distance", "population_stability_index", "pearsons_chi_squared_test"),
}
QUALITY_METRICS = ("null_value_rate", "data_type_error_rate", "out_of_bounds_rate")

# p-values: small is bad (model_monitor_evaluate_metrics_threshold/evaluate_metrics_threshold.py).
P_VALUES = ("two_sample_kolmogorov_smirnov_test", "pearsons_chi_squared_test")

# What azure-ai-ml takes where a monitor defines no signals; where one only leaves out thresholds, that Azure's service
# takes the same is assumed.
DEFAULTS: dict[str, dict[str, dict[str, float]]] = {
    **{
        kind: {"numerical": {"normalized_wasserstein_distance": 0.1}, "categorical": {"jensen_shannon_distance": 0.1}}
        for kind in DRIFT
    },
    "data_quality": {kind: dict.fromkeys(QUALITY_METRICS, 0.0) for kind in DRIFT_METRICS},
}
OUT_OF_BOX: dict[str, dict[str, Any]] = {kind: {"type": kind} for kind in COMPUTED}

ELSEWHERE = {
    "feature_attribution_drift": "computed in Azure only: it explains the model's predictions feature by feature",
    "model_performance": "computed in Azure only; here a job that joins predictions and labels takes its place",
    "custom": "computed in Azure only: its component is made for Spark",
    "generation_safety_quality": "computed in Azure only, by a language model",
    "generation_token_statistics": "computed in Azure only, from the traces of prompts",
}
DURATION = re.compile(r"P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Window:
    """Which data by its time. Trailing: the `size` that ended `offset` before the run; fixed: from `start` to `end`."""

    size: timedelta | None = None
    offset: timedelta = timedelta()
    start: datetime | None = None
    end: datetime | None = None

    def at(self, moment: datetime) -> tuple[datetime, datetime]:
        """From when to when, for a run at `moment`."""
        if self.size is None:
            assert self.start and self.end
            return self.start, self.end
        end = moment - self.offset
        return end - self.size, end


@dataclass(frozen=True)
class Source:
    """Where one side of a comparison comes from. path: None for what the monitored deployment has collected.

    type: uri_file, uri_folder, mltable. context: model_inputs, test, ... window: None for the whole of it.
    """

    path: str | None
    type: str
    context: str
    window: Window | None
    preprocessed: bool = False


@dataclass(frozen=True)
class Signal:
    """A signal that is computed here. thresholds: by kind of feature, then by metric, in Azure's order."""

    name: str
    type: str
    production: Source
    reference: Source
    features: tuple[str, ...] | None
    overrides: dict[str, str]
    thresholds: dict[str, dict[str, float]]
    alerts: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A signal that is not computed here, and why."""

    name: str
    type: str
    reason: str


def signals(monitor: Mapping[str, Any], trigger: Mapping[str, Any]) -> list[Signal | Refused]:
    """What a monitor, as azure-ai-ml gives `create_monitor`, asks for. Raises UserError naming signal and field."""
    defined = monitor.get("monitoring_signals") or OUT_OF_BOX
    target = deployment(monitor)
    found: list[Signal | Refused] = []
    for name, spec in defined.items():
        reason = _not_here(spec)
        found.append(Refused(name, spec["type"], reason) if reason else _signal(name, spec, trigger, target))
    return found


def refused(monitor: Mapping[str, Any], trigger: Mapping[str, Any]) -> list[Refused]:
    """The signals of a monitor that only Azure computes. Raises as `signals` does."""
    return [signal for signal in signals(monitor, trigger) if isinstance(signal, Refused)]


def misspelt(monitor: Any) -> tuple[str, str] | None:
    """(field, what is wrong) in a `create_monitor` that azure-ai-ml refuses without saying why; None if unknown.

    Its loader tries every signal's schema, and fails while it gathers what all of them say.
    """
    defined = monitor.get("monitoring_signals") if isinstance(monitor, Mapping) else None
    for name, spec in defined.items() if isinstance(defined, Mapping) else ():
        where = f"create_monitor.monitoring_signals.{name}"
        kind = spec.get("type") if isinstance(spec, Mapping) else None
        if kind not in COMPUTED and kind not in ELSEWHERE:
            return f"{where}.type", f"{kind} is none of {', '.join((*COMPUTED, *ELSEWHERE))}"
        given = spec.get("metric_thresholds")
        for feature_kind, metrics in DRIFT_METRICS.items() if kind in COMPUTED and isinstance(given, Mapping) else ():
            known = metrics if kind in DRIFT else QUALITY_METRICS
            named = given.get(feature_kind)
            for metric in named if isinstance(named, Mapping) else ():
                if metric not in known:
                    return f"{where}.metric_thresholds.{feature_kind}.{metric}", f"none of {', '.join(known)}"
    return None


def deployment(monitor: Mapping[str, Any]) -> tuple[str, str] | None:
    """Endpoint and deployment of `monitoring_target.endpoint_deployment_id`; None without one. Raises UserError."""
    id = (monitor.get("monitoring_target") or {}).get("endpoint_deployment_id")
    if not id:
        return None
    arm = re.fullmatch(r"(?:azureml:)?.*/onlineEndpoints/([^/]+)/deployments/([^/]+)", id, re.IGNORECASE)
    named = arm or re.fullmatch(r"(?:azureml:)?([^:/]+):([^:/]+)", id)
    if not named:
        raise UserError(
            f"create_monitor.monitoring_target.endpoint_deployment_id: {id} is not azureml:ENDPOINT:DEPLOYMENT"
        )
    return named[1], named[2]


def _not_here(spec: Mapping[str, Any]) -> str | None:
    if spec["type"] not in COMPUTED:
        return ELSEWHERE.get(spec["type"], "computed in Azure only")
    if isinstance(spec.get("features"), Mapping):
        return "features.top_n_feature_importance: Azure trains a model of its own for it; here name the features"
    if spec.get("data_segment"):
        return "data_segment: not applied here; leave it out"
    return None


def _signal(name: str, spec: Mapping[str, Any], trigger: Mapping[str, Any], target: tuple[str, str] | None) -> Signal:
    where = f"create_monitor.monitoring_signals.{name}"
    usual = default_days(trigger)
    context = "model_outputs" if spec["type"] == "prediction_drift" else "model_inputs"
    production, reference = spec.get("production_data"), spec.get("reference_data")
    if not (production and reference) and target is None:
        side = "reference_data" if production else "production_data"
        raise UserError(f"{where}.{side}: required, since no monitoring_target.endpoint_deployment_id says whose data")
    recent = Window(timedelta(days=usual))
    before = Window(timedelta(days=2 * usual), timedelta(days=usual))
    notices: list[str] = []
    given = spec.get("features")
    if isinstance(given, list) and not given:
        raise UserError(f"{where}.features: names none; leave it out for all that both sides have")
    return Signal(
        name=name,
        type=spec["type"],
        production=_source(f"{where}.production_data", production, context, usual) or Source(None, "", context, recent),
        reference=_source(f"{where}.reference_data", reference, context, usual, True)
        or Source(None, "", context, before),
        features=tuple(str(one) for one in given) if isinstance(given, list) else None,
        overrides=_overrides(f"{where}.feature_type_override", spec.get("feature_type_override")),
        thresholds=_thresholds(f"{where}.metric_thresholds", spec, notices),
        alerts=bool(spec.get("alert_enabled")),
        notices=tuple(notices),
    )


def default_days(trigger: Mapping[str, Any]) -> int:
    """The usual window in days: how often the monitor runs (azure-ai-ml, entities/_monitoring/schedule.py)."""
    each = {"minute": 0, "hour": 0, "day": 1, "week": 7, "month": 30}
    if trigger.get("type") != "recurrence":
        return 7
    days = each.get(str(trigger.get("frequency")).lower())
    return 7 if days is None else days * int(trigger.get("interval") or 1) or 1


def _source(
    where: str, spec: Mapping[str, Any] | None, context: str, usual: int, reference: bool = False
) -> Source | None:
    if not spec:
        return None
    data = spec.get("input_data") or {}
    if not data.get("path"):
        raise UserError(f"{where}.input_data.path: required")
    return Source(
        path=str(data["path"]),
        type=str(data.get("type") or "uri_folder"),
        context=str(spec.get("data_context") or context),
        window=_window(f"{where}.data_window", spec.get("data_window") or {}, usual, reference),
        preprocessed=bool(spec.get("pre_processing_component")),
    )


def _window(where: str, spec: Mapping[str, Any], usual: int, reference: bool) -> Window | None:
    start, end = spec.get("window_start"), spec.get("window_end")
    if (start or end) and not reference:
        raise UserError(f"{where}: production data has lookback_window_size and lookback_window_offset only")
    size, offset = spec.get("lookback_window_size"), spec.get("lookback_window_offset")
    if reference and size is None:
        if not (start or end):
            return None
        if not (start and end):
            raise UserError(f"{where}: window_start and window_end go together")
        begin, finish = _day(f"{where}.window_start", start), _day(f"{where}.window_end", end)
        if begin >= finish:
            raise UserError(f"{where}.window_end: {end} is not after window_start, {start}")
        return Window(start=begin, end=finish)
    days = 2 * usual if reference else usual
    length = timedelta(days=days) if size in (None, "default") else _duration(f"{where}.lookback_window_size", size)
    if not length:
        raise UserError(f"{where}.lookback_window_size: {size} is no time at all")
    back = (
        timedelta(days=usual) if offset == "default" else _duration(f"{where}.lookback_window_offset", offset or "P0D")
    )
    return Window(length, back)


def _day(where: str, text: Any) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(str(text)), time(tzinfo=UTC))
    except ValueError:
        raise UserError(f"{where}: {text} is not a date like 2026-01-31") from None


def _duration(where: str, text: Any) -> timedelta:
    match = DURATION.fullmatch(str(text))
    if not match:
        raise UserError(f"{where}: {text} is not an ISO 8601 duration of weeks, days or less, like P7D or PT12H")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _overrides(where: str, spec: Any) -> dict[str, str]:
    found = {str(name): str(kind).lower() for name, kind in (spec or {}).items()}
    for name, kind in found.items():
        if kind not in DRIFT_METRICS:
            raise UserError(f"{where}.{name}: {kind} is neither numerical nor categorical")
    return found


def _thresholds(where: str, spec: Mapping[str, Any], notices: list[str]) -> dict[str, dict[str, float]]:
    """By kind of feature. What is left out has Azure's default; more than Azure would look at gets a notice."""
    given, drifts = spec.get("metric_thresholds") or {}, spec["type"] in DRIFT
    found: dict[str, dict[str, float]] = {}
    for kind, metrics in DRIFT_METRICS.items():
        named = {metric: value for metric, value in (given.get(kind) or {}).items() if value is not None}
        for metric, value in named.items():
            if metric not in (metrics if drifts else QUALITY_METRICS):
                raise UserError(f"{where}.{kind}.{metric}: no metric of {spec['type']} for {kind} features")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise UserError(f"{where}.{kind}.{metric}: {value} is not a number from 0 on")
            if drifts and not value:
                raise UserError(
                    f"{where}.{kind}.{metric}: 0 is what azure-ai-ml takes for no threshold; give one above"
                )
        order = [metric for metric in (metrics if drifts else QUALITY_METRICS) if metric in named]
        found[kind] = {metric: float(named[metric]) for metric in order} or DEFAULTS[spec["type"]][kind]
        if drifts and len(order) > 1:
            notices.append(f"metric_thresholds.{kind}: Azure looks at {order[0]} only, the first of those given")
    return found

"""The signals of Azure's monitors: their metrics beside Microsoft's own and scipy's, what is read, what is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import spatial, stats
from tests.monitors import golden

from amlocal.core.errors import UserError
from amlocal.core.workspace import Workspace
from amlocal.monitors import __main__ as job
from amlocal.monitors import compute, drift, features, quality, results, tables
from amlocal.specs import monitor as definition

QUALITY_METRICS = definition.QUALITY_METRICS
ALL = {kind: dict.fromkeys(metrics, 0.2) for kind, metrics in definition.DRIFT_METRICS.items()}
WEEKLY = {"type": "recurrence", "frequency": "week", "interval": 1}


def collected(folder: Path, rows: list[dict[str, Any]], hour: str = "2026/01/05/10") -> Path:
    """A collection as Azure lays it out, one row a record."""
    place = folder / hour
    place.mkdir(parents=True)
    records = [{"specversion": "1.0", "type": "azureml.inference.model_inputs", "data": [row]} for row in rows]
    (place / "instance.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def signal(type: str = "data_drift", **more: Any) -> definition.Signal:
    monitor = {
        "monitoring_target": {"endpoint_deployment_id": "azureml:digits:blue"},
        "monitoring_signals": {"one": {"type": type, **more}},
    }
    [made] = definition.signals(monitor, WEEKLY)
    assert isinstance(made, definition.Signal)
    return made


def measured(production: tables.Table, reference: tables.Table, **more: Any) -> compute.Outcome:
    return compute.outcome(signal(**more), production, reference)


# --- the metrics


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> tuple[tables.Table, tables.Table]:
    """The golden tables, (production, reference), read as they were for Spark."""
    before, now = golden.drift_rows()
    return (
        tables.read(collected(tmp_path_factory.mktemp("now"), now), None),
        tables.read(collected(tmp_path_factory.mktemp("before"), before), None),
    )


def test_drift_is_what_microsofts_components_say(drifted: tuple[tables.Table, tables.Table]) -> None:
    outcome = measured(*drifted, metric_thresholds=ALL)
    said = {(measure.feature, measure.metric): measure.value for measure in outcome.measures}
    assert said == pytest.approx(golden.DRIFT, rel=1e-6, abs=1e-9)  # Spark keeps 32 bits of each
    assert (outcome.rows, outcome.reference_rows) == (300, 700)


def test_quality_is_what_microsofts_components_say(tmp_path: Path) -> None:
    before, now = golden.quality_rows()
    reference = tables.read(collected(tmp_path / "before", before), None)
    production = tables.read(collected(tmp_path / "now", now), None)
    known = quality.bounds(reference, list(golden.QUALITY), {})
    for table, expected in ((reference, golden.QUALITY_REFERENCE), (production, golden.QUALITY)):
        rates = quality.rates(table, list(expected), known, {})
        assert {name: tuple(each.get(metric) for metric in QUALITY_METRICS) for name, each in rates.items()} == expected
    as_numbers = {"few": "numerical"}
    rates = quality.rates(production, ["few"], quality.bounds(reference, ["few"], as_numbers), as_numbers)
    assert tuple(rates["few"].values()) == golden.FEW_AS_NUMBERS


def test_a_threshold_of_quality_is_what_production_may_be_worse(tmp_path: Path) -> None:
    before, now = golden.quality_rows()
    outcome = measured(
        tables.of_rows(now),
        tables.of_rows(before),
        type="data_quality",
        features=["nulls"],
        metric_thresholds={"numerical": {"null_value_rate": 0.14}},
    )
    [measure] = outcome.measures
    assert (measure.value, measure.threshold, measure.violated) == (0.25, pytest.approx(0.24), True)


@pytest.mark.parametrize("seed", range(5))
def test_numbers_beside_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, now = random.normal(0, 1, 800), random.normal(0.2 * seed, 1.2, 350)
    assert drift.kolmogorov_smirnov(before, now) == stats.ks_2samp(before, now).pvalue
    assert drift.normalized_wasserstein(before, now) == pytest.approx(
        stats.wasserstein_distance(before, now) / before.std(ddof=1)
    )
    bins = np.linspace(min(before.min(), now.min()), max(before.max(), now.max()), 11)  # log2(350) + 1, rounded up
    shares = [np.histogram(values, bins)[0] / len(values) for values in (before, now)]
    # numpy and Spark may put a value that lies on an edge, an outermost one, into another bin
    assert drift.jensen_shannon_numerical(before, now) == pytest.approx(
        spatial.distance.jensenshannon(*shares, base=2), abs=0.01
    )


def test_categories_beside_scipy() -> None:
    random = np.random.default_rng(0)
    before, now = (["abc"[i] for i in random.choice(3, size, p=p)] for size, p in ((900, None), (300, (0.5, 0.3, 0.2))))
    was, found = ([each.count(name) for name in "abc"] for each in (before, now))
    assert drift.jensen_shannon_categorical(before, now) == pytest.approx(
        spatial.distance.jensenshannon(was, found, base=2)
    )
    assert drift.chi_squared(before, now) == pytest.approx(stats.chisquare(found, np.array(was) / 3).pvalue)


@pytest.mark.parametrize("metric", [*drift.NUMERICAL])
def test_the_same_numbers_do_not_drift(metric: str) -> None:
    values = np.arange(50.0)
    assert drift.NUMERICAL[metric](values, values) == (1 if metric in definition.P_VALUES else 0)


def test_what_has_nothing_in_common_is_as_far_as_it_can_be() -> None:
    assert drift.jensen_shannon_numerical(np.zeros(30), np.full(30, 9.0)) == pytest.approx(1)
    assert drift.jensen_shannon_categorical(["a"], ["b"]) == pytest.approx(1)
    assert drift.chi_squared(["a"] * 9, ["a"] * 8 + ["b"]) == 0, "a category that the reference has not"
    highest = np.full(1134, 1.183)  # which rounding puts beyond the last edge
    assert drift.jensen_shannon_numerical(np.full(1134, -2.385), highest) == pytest.approx(1)


def test_one_category_that_both_sides_have_is_no_drift() -> None:
    assert [drift.CATEGORICAL[metric](["a"] * 9, ["a"] * 5) for metric in drift.CATEGORICAL] == [0, 0, 1]


@pytest.mark.parametrize("metric", [*drift.NUMERICAL])
@pytest.mark.parametrize("high", [0.0, 5e-324, 1e-310])
def test_numbers_that_no_bins_tell_apart_are_one(metric: str, high: float) -> None:
    values = np.array([0.0, high] * 20)
    assert drift.NUMERICAL[metric](values, values) == (1 if metric in definition.P_VALUES else 0)


def test_evidently_agrees_where_it_computes_the_same() -> None:
    """Not the numerical Jensen-Shannon distance and stability index, for which it has other bins."""
    stattests = pytest.importorskip("evidently.legacy.calculations.stattests")
    import pandas as pd
    from evidently.legacy.core import ColumnType

    def theirs(name: str, before: Any, now: Any) -> float:
        kind = ColumnType.Categorical if isinstance(before, list) else ColumnType.Numerical
        return float(getattr(stattests, name).func(pd.Series(before), pd.Series(now), kind, 0.1)[0])

    random = np.random.default_rng(0)
    before, now = random.normal(0, 1, 2000), random.normal(0.05, 1, 900)
    assert drift.kolmogorov_smirnov(before, now) == theirs("ks_stat_test", before, now)
    with_n = np.sqrt(1999 / 2000)  # its deviation is divided by n
    assert drift.normalized_wasserstein(before, now) == pytest.approx(
        with_n * theirs("wasserstein_stat_test", before, now)
    )
    was, found = (["abc"[i] for i in random.choice(3, size, p=p)] for size, p in ((900, None), (300, (0.4, 0.3, 0.3))))
    assert drift.chi_squared(was, found) == pytest.approx(theirs("chi_stat_test", was, found))
    base_e = np.sqrt(np.log(2))
    assert base_e * drift.jensen_shannon_categorical(was, found) == pytest.approx(
        theirs("jensenshannon_stat_test", was, found)
    )


def test_a_p_value_alarms_below_its_threshold_and_a_distance_above() -> None:
    def violated(metric: str, value: float) -> bool:
        return compute.Measure("f", "numerical", metric, value, 0.1).violated

    assert [violated("jensen_shannon_distance", value) for value in (0.05, 0.1, 0.2)] == [False, False, True]
    assert [violated("two_sample_kolmogorov_smirnov_test", value) for value in (0.05, 0.1, 0.2)] == [True, False, False]


# --- what is compared


def test_whole_numbers_with_few_values_are_categories_unless_overridden() -> None:
    column = tables.column(number % 10 for number in range(500))
    assert features.kind("digit", column, {}) == "categorical"
    assert features.kind("digit", column, {"digit": "numerical"}) == "numerical"
    assert features.kind("digit", tables.column(range(500)), {}) == "numerical"
    assert features.kind("digit", tables.column(float(number % 10) for number in range(500)), {}) == "numerical"


def test_a_column_of_two_kinds_of_numbers_is_compared_and_told_of() -> None:
    reference = tables.of_rows([{"digit": number % 10} for number in range(600)])
    production = tables.of_rows([{"digit": float(number % 10)} for number in range(600)])
    outcome = measured(production, reference)
    [measure] = outcome.measures
    assert (measure.kind, measure.value) == ("categorical", 0)
    assert "digit: double in production, long in the reference: Azure would leave it out" in "\n".join(outcome.notices)


def test_rows_with_a_null_are_left_out_of_drift_and_told_of() -> None:
    reference = tables.of_rows([{"a": number / 7, "b": number / 3} for number in range(600)])
    production = tables.of_rows([{"a": None if number < 60 else number / 7, "b": number / 3} for number in range(600)])
    outcome = measured(production, reference, metric_thresholds=ALL)
    assert "60 of 600 rows of the production data have a null and are left out, as Azure does" in outcome.notices
    only = measured(production, reference, features=["b"])
    assert not any("null" in notice for notice in only.notices)


def test_a_feature_that_one_side_lacks_is_told_of_and_the_others_computed() -> None:
    table = tables.of_rows([{"ink": number / 7} for number in range(600)])
    outcome = measured(table, table, features=["ink", "colour"])
    assert [measure.feature for measure in outcome.measures] == ["ink"]
    assert "colour: not computed: the production and the reference data have no such column" in outcome.notices
    with pytest.raises(UserError, match="no feature is on both sides; production has ink, the reference ink"):
        measured(table, table, features=["colour"])


def test_a_feature_with_infinite_numbers_is_told_of_and_out_of_bounds(tmp_path: Path) -> None:
    reference = tables.of_rows([{"ink": number / 7, "width": number / 3} for number in range(600)])
    (tmp_path / "t.jsonl").write_text('{"ink": Infinity, "width": 1.5}\n{"ink": 0.5, "width": 2.5}\n')
    production = tables.read(tmp_path / "t.jsonl", None)
    outcome = measured(production, reference)
    assert [measure.feature for measure in outcome.measures] == ["width"]
    assert "ink: not computed: there are infinite numbers in it, or some beyond 1e+150" in outcome.notices
    found = measured(production, reference, type="data_quality", features=["ink"]).measures
    assert {measure.metric: measure.value for measure in found} == {
        "null_value_rate": 0,
        "data_type_error_rate": 0,
        "out_of_bounds_rate": 0.5,
    }


@pytest.mark.filterwarnings("error")
def test_a_feature_with_numbers_too_large_to_be_compared_is_told_of() -> None:
    """Their squares are infinite: no distance would be left of it."""
    reference = tables.of_rows([{"ink": sign * 1e308, "width": sign / 7} for sign in (-1, 1)] * 300)
    production = tables.of_rows([{"ink": ink, "width": ink / 7} for ink in (1.5, 2.5)] * 300)
    outcome = measured(production, reference, metric_thresholds=ALL)
    assert {measure.feature for measure in outcome.measures} == {"width"}
    assert "ink: not computed: there are infinite numbers in it, or some beyond 1e+150" in outcome.notices


@pytest.mark.parametrize(("rows", "threshold", "warned"), [(100, 0.1, True), (100, 0.3, False), (2000, 0.1, False)])
def test_few_rows_and_a_low_threshold_are_told_of(rows: int, threshold: float, warned: bool) -> None:
    table = tables.of_rows([{"ink": number / 7} for number in range(rows)])
    outcome = measured(table, table, metric_thresholds={"numerical": {"jensen_shannon_distance": threshold}})
    assert any(f"{rows} rows are few for" in notice for notice in outcome.notices) == warned


# --- what is read


def test_the_kinds_of_columns_are_sparks() -> None:
    kinds = {"whole": [1, 2], "some": [1, 2.5], "text": ["a", 1], "truth": [True, False], "none": [None, None]}
    kinds |= {"long": [2**63 - 1, -(2**63)], "longer": [1, 2**63]}
    found = {name: tables.column(values).kind for name, values in kinds.items()}
    assert found == {"whole": "long", "some": "double", "text": "string", "truth": "boolean", "none": "string"} | {
        "long": "long",
        "longer": "double",
    }
    assert list(tables.column([10**400, -(10**400), 0.5]).values) == [np.inf, -np.inf, 0.5]
    assert list(tables.column([True, "a", 1.5]).values) == ["true", "a", "1.5"]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "MLTable"])
def test_one_table_in_every_form(tmp_path: Path, name: str) -> None:
    import pandas as pd

    rows = [{"ink": 1.0, "digit": 3, "word": "a"}, {"ink": 2.5, "digit": 4, "word": None}]
    place = tmp_path / name
    if name == "t.jsonl":
        place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif name == "t.parquet":
        pd.DataFrame(rows).to_parquet(place)
    else:
        pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    if name == "MLTable":
        place.write_text("paths: [{file: ./t.csv}]\ntransformations: [{read_delimited: {delimiter: ','}}]\n")
        place = tmp_path
    table = tables.read(place, None)
    assert {key: (column.kind, list(column.values)) for key, column in table.columns.items()} == {
        "ink": ("double", [1.0, 2.5]),
        "digit": ("long", [3, 4]),
        "word": ("string", ["a", None]),
    }


def test_a_window_takes_the_hours_that_it_touches(tmp_path: Path) -> None:
    for number, hour in enumerate(("2026/01/05/09", "2026/01/05/10", "2026/01/06/10", "2026/01/06/11", "2026/01/07")):
        collected(tmp_path, [{"number": number}], hour)

    def seen(end: str, size: str = "P1D", offset: str = "P0D") -> list[int]:
        window = {"lookback_window_size": size, "lookback_window_offset": offset}
        data = {"input_data": {"path": "x"}, "data_window": window}
        found = signal(production_data=data).production.window
        assert found
        table = tables.read(tmp_path, found.at(datetime.fromisoformat(end).replace(tzinfo=UTC)))
        return list(table.columns["number"].values)

    assert seen("2026-01-06T10:30:00") == [1, 2]
    assert seen("2026-01-06T11:00:00") == [2], "a window that ends with the hour does not touch the next"
    assert seen("2026-01-06T11:30:00", "PT1H") == [2, 3]
    assert seen("2026-01-07T10:30:00", offset="P1D") == [1, 2]
    assert seen("2026-01-07T10:30:00") == [2, 3, 4], "files by the day"
    with pytest.raises(UserError, match=r"no rows between 2026-01-09 10:00 .* it has files from 2026-01-05 09:00"):
        seen("2026-01-10T10:30:00")


def test_what_cannot_be_read_is_left_out_and_told_of(tmp_path: Path) -> None:
    place = collected(tmp_path, [{"a": 1}, {"a": 2}]) / "2026/01/05/10/instance.jsonl"
    with place.open("a") as file:
        file.write('{"data": "a body"}\n{"data": [{"a": 3}')
    table = tables.read(tmp_path, None)
    assert table.rows == 2
    assert [notice.partition(": ")[2] for notice in table.notices] == [
        "1 line could not be read, and left out",
        "1 record whose data are no rows, left out",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.txt", "a", "t.txt: a monitor reads .csv"),
        ("t.csv", "", "t.csv: read_delimited: EmptyDataError"),
        ("t.jsonl", "\n", "holds no rows"),
        ("t.json", '[{"a": 1}]', r"JSON lines \(.jsonl, .json\).*; .*t.json: 1 line could not be read"),
        ("2026/01/05/10/t.jsonl", "{", "it has files from .*; .*t.jsonl: 1 line could not be read"),
        ("t.parquet", "a", "t.parquet: not readable as parquet"),
    ],
)
def test_bad_data_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        tables.read(tmp_path if "/" in name else tmp_path / name, None)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(UserError, match=r"a\.jsonl: not readable: "):
        tables.read(tmp_path, None)


# --- what is asked for


def test_the_defaults_are_those_of_azure_ai_ml() -> None:
    monitor = {"monitoring_target": {"endpoint_deployment_id": "azureml:digits:blue"}}
    made = {one.type: one for one in definition.signals(monitor, WEEKLY) if isinstance(one, definition.Signal)}
    assert [*made] == ["data_drift", "prediction_drift", "data_quality"]
    assert made["data_drift"].thresholds == {
        "numerical": {"normalized_wasserstein_distance": 0.1},
        "categorical": {"jensen_shannon_distance": 0.1},
    }
    assert set(made["data_quality"].thresholds["numerical"].values()) == {0.0}
    now = datetime(2026, 1, 31, tzinfo=UTC)
    production, reference = made["data_drift"].production, made["prediction_drift"].reference
    assert (production.context, reference.context) == ("model_inputs", "model_outputs")
    assert production.window
    assert reference.window
    assert production.window.at(now) == (datetime(2026, 1, 24, tzinfo=UTC), now)
    assert reference.window.at(now) == (datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 24, tzinfo=UTC))


@pytest.mark.parametrize(
    ("trigger", "days"),
    [
        (("minute", 5), 1),
        (("hour", 12), 1),
        (("day", 3), 3),
        (("week", 2), 14),
        (("month", 1), 30),
    ],
)
def test_the_usual_window_is_as_long_as_between_two_runs(trigger: tuple[str, int], days: int) -> None:
    frequency, interval = trigger
    assert definition.default_days({"type": "recurrence", "frequency": frequency, "interval": interval}) == days
    assert definition.default_days({"type": "cron", "expression": "0 3 * * *"}) == 7


DATA = {"input_data": {"path": "x.csv"}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"features": []}, "one.features: names none"),
        ({"feature_type_override": {"ink": "wide"}}, "feature_type_override.ink: wide is neither numerical nor"),
        ({"metric_thresholds": {"numerical": {"jensen_shannon_distance": -1}}}, "jensen_shannon_distance: -1 is not a"),
        ({"metric_thresholds": {"numerical": {"jensen_shannon_distance": 0}}}, "0 is what azure-ai-ml takes for no"),
        ({"metric_thresholds": {"numerical": {"null_value_rate": 0.1}}}, "no metric of data_drift for numerical"),
        ({"production_data": {"input_data": {}}}, "production_data.input_data.path: required"),
        ({"production_data": {**DATA, "data_window": {"window_start": "2026-01-01"}}}, "production data has lookback_"),
        ({"production_data": {**DATA, "data_window": {"lookback_window_size": "7 days"}}}, "7 days is not an ISO 8601"),
        ({"production_data": {**DATA, "data_window": {"lookback_window_size": "P0D"}}}, "P0D is no time at all"),
        ({"reference_data": {**DATA, "data_window": {"window_start": "2026-01-01"}}}, "go together"),
        (
            {"reference_data": {**DATA, "data_window": {"window_start": "soon", "window_end": "2026-01-01"}}},
            "window_start: soon is not a date",
        ),
    ],
)
def test_what_a_monitor_may_not_say(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        signal(**spec)


def test_without_a_deployment_both_sides_are_needed() -> None:
    with pytest.raises(UserError, match=r"one.production_data: required, since no monitoring_target"):
        definition.signals({"monitoring_signals": {"one": {"type": "data_drift"}}}, WEEKLY)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"type": "feature_attribution_drift"}, "computed in Azure only"),
        ({"type": "custom"}, "computed in Azure only: its component is made for Spark"),
        ({"type": "generation_safety_quality"}, "by a language model"),
        ({"type": "model_performance"}, "a job that joins predictions and labels takes its place"),
        ({"type": "data_drift", "features": {"top_n_feature_importance": 3}}, "here name the features"),
        ({"type": "data_drift", "data_segment": {"feature_name": "a"}}, "data_segment: not applied here"),
    ],
)
def test_what_is_computed_in_azure_only_is_refused_and_the_others_are_not(spec: dict[str, Any], reason: str) -> None:
    monitor = {
        "monitoring_target": {"endpoint_deployment_id": "azureml:digits:blue"},
        "monitoring_signals": {"one": spec, "other": {"type": "data_quality"}},
    }
    refused, other = definition.signals(monitor, WEEKLY)
    assert isinstance(refused, definition.Refused)
    assert reason in refused.reason
    assert isinstance(other, definition.Signal)


def test_more_metrics_than_azure_looks_at_are_computed_and_told_of() -> None:
    made = signal(metric_thresholds={"numerical": {"population_stability_index": 0.2, "jensen_shannon_distance": 0.1}})
    assert [*made.thresholds["numerical"]] == ["jensen_shannon_distance", "population_stability_index"]
    assert made.notices == (
        "metric_thresholds.numerical: Azure looks at jensen_shannon_distance only, the first of those given",
    )


# --- what is told


def test_names_of_metrics_and_the_tag(drifted: tuple[tables.Table, tables.Table]) -> None:
    quiet = measured(*drifted, metric_thresholds=ALL, alert_enabled=False)
    loud = measured(*drifted, metric_thresholds=ALL, alert_enabled=True)
    logged = results.metrics([loud])
    assert logged["one/bell/jensen_shannon_distance"] == pytest.approx(0.1795, abs=1e-4)
    assert (logged["one/rows"], logged["one/violations"]) == (300, len(loud.violations))
    assert results.tags([quiet]) == {}
    assert "one: colour: population_stability_index is 1.263, threshold 0.2" in results.tags([loud])[results.BREACHED]
    assert any(
        line == "ALERT: one: tenths: jensen_shannon_distance is 0.24, threshold 0.2, 300 rows"
        for line in results.lines(loud)
    )
    assert not any(line.startswith("ALERT") for line in results.lines(quiet))


def run(folder: Path, **rows: str) -> tuple[int, dict[str, Any]]:
    """A monitor with one signal for each of `rows`, production's JSON lines; its exit code and monitor.json."""
    (folder / "reference.jsonl").write_text("".join(json.dumps({"ink": n / 7}) + "\n" for n in range(600)))
    signals = {}
    for name, text in rows.items():
        (folder / f"{name}.jsonl").write_text(text)
        data = {"production_data": f"{name}.jsonl", "reference_data": "reference.jsonl"}
        sides = {side: {"input_data": {"path": str(folder / file)}} for side, file in data.items()}
        signals[name] = {"type": "data_drift", "metric_thresholds": ALL, **sides}
    told = {"monitor": "m", "time": "2026-01-05T10:00:00+00:00", "trigger": WEEKLY}
    code = job.run(told | {"definition": {"monitoring_signals": signals}}, folder / "out", Workspace(folder))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return code, json.loads((folder / "out" / "monitor.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("error", [OverflowError("far\ntoo far"), ValueError("odd"), OSError(5, "the disk is odd")])
def test_a_signal_that_fails_leaves_what_the_others_say(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = compute.outcome

    def odd(signal: definition.Signal, *sides: tables.Table) -> compute.Outcome:
        if signal.name == "odd":
            raise error
        return outcome(signal, *sides)

    monkeypatch.setattr(compute, "outcome", odd)
    code, written = run(tmp_path, good='{"ink": 2.5}\n', odd='{"ink": 2.5}\n')
    assert code == 1, "a signal could not be computed"
    assert [one["signal"] for one in written["signals"]] == ["good"]
    [failed] = written["not_computed"]
    assert failed["reason"] == f"{type(error).__name__}: {' '.join(str(error).splitlines())}"
    assert f"ERROR: odd (data_drift): {failed['reason']}\n" in capsys.readouterr().out


def test_numbers_of_hundreds_of_digits_are_infinite(tmp_path: Path) -> None:
    code, written = run(tmp_path, one=f'{{"ink": {10**400}}}\n', other='{"ink": 2.5}\n')
    assert (code, [one["signal"] for one in written["signals"]]) == (1, ["other"])
    assert "there are infinite numbers in it" in written["not_computed"][0]["reason"]


def test_a_column_that_no_text_can_hold_is_told_of_escaped(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"\\ud800": 1.5}\n')
    table = tables.read(tmp_path / "t.jsonl", None)
    outcome = measured(table, table)
    results.write(tmp_path, {"monitor": "m", "time": "now"}, [outcome], [])
    [metric] = json.loads((tmp_path / "monitor.json").read_text())["signals"][0]["metrics"]
    assert metric["feature"] == "\\ud800"


def test_what_is_written_is_json_whatever_the_value(tmp_path: Path) -> None:
    measure = compute.Measure("f", "numerical", "jensen_shannon_distance", float("nan"), float("inf"))
    results.write(tmp_path, {"monitor": "m", "time": "now"}, [compute.Outcome(signal(), 1, 1, [measure], [])], [])
    [metric] = json.loads((tmp_path / "monitor.json").read_text())["signals"][0]["metrics"]
    assert (metric["value"], metric["threshold"]) == (None, None)

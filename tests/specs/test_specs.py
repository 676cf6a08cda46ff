"""Every spec under aml/ loads with azure-ai-ml, and says what a student's subscription can run."""

import logging
from pathlib import Path

import pytest
from azure.ai.ml import load_component, load_compute, load_data, load_environment, load_job

AML = Path(__file__).parents[2] / "aml"
LOADERS = {
    "components": load_component,
    "compute": load_compute,
    "data": load_data,
    "pipelines": load_job,
}
SPECS = [spec for folder in LOADERS for spec in sorted((AML / folder).glob("*.yml"))]


@pytest.mark.parametrize("spec", SPECS, ids=lambda p: p.relative_to(AML).as_posix())
def test_it_loads(spec: Path) -> None:
    assert LOADERS[spec.parent.name](spec).name is not None or spec.parent.name == "pipelines"


@pytest.mark.parametrize("spec", sorted(AML.glob("environments/*/environment.yml")), ids=lambda p: p.parent.name)
def test_an_environment_loads_and_is_called_like_its_conda_file(spec: Path) -> None:
    environment = load_environment(spec)
    assert environment.name == environment.conda_file["name"] == f"digits-{spec.parent.name}"


@pytest.mark.parametrize("spec", sorted((AML / "components").glob("*.yml")), ids=lambda p: p.stem)
def test_a_component_brings_code_and_environment_along(spec: Path) -> None:
    component = load_component(spec)
    assert component.name == f"digits_{spec.stem}"
    if component.type == "parallel":
        task = component.task
        assert task.entry_script == f"digits/serving/{spec.stem}.py"
        assert (spec.parent / str(task.code)).resolve() == AML.parent / "src"
    else:
        task = component
        watches = spec.stem in ("monitor", "gather")
        assert component.command.split()[:3] == ["python", "-m", f"{'drift' if watches else 'digits.jobs'}.{spec.stem}"]
        sent = [(spec.parent / include).resolve() for include in component.additional_includes]
        packages = ("digits", "drift") if watches else ("digits",)
        assert component.code is None and sent == [AML.parent / "src" / package for package in packages]
    assert task.environment.image.startswith("mcr.microsoft.com/")
    assert task.environment.conda_file["name"].startswith("digits-")


@pytest.mark.parametrize("spec", sorted((AML / "pipelines").glob("*.yml")), ids=lambda p: p.stem)
def test_a_pipeline_is_valid_as_the_client_sees_it(spec: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    job = load_job(spec)
    assert job._validate().error_messages == {}
    assert job.settings.default_compute == "cpu-cluster"


def test_training_is_the_four_steps_in_order() -> None:
    job = load_job(AML / "pipelines" / "training.yml")
    assert list(job.jobs) == ["prepare", "train", "evaluate", "register"]
    assert set(job.inputs) == {"network", "schedule", "seed", "threshold", "model_name"}
    assert set(job.outputs) == {"data", "model", "evaluation", "verdict"}
    assert job.jobs["register"].component.is_deterministic is False  # who is champion is no input of it


def test_retraining_is_training_with_what_was_gathered() -> None:
    job, training = (load_job(AML / "pipelines" / f"{name}.yml") for name in ("retraining", "training"))
    assert list(job.jobs) == ["prepare", "gather", "train", "evaluate", "register"]
    # The same step with the same inputs is reused, and the old hand is judged by the same digits.
    assert job.jobs["prepare"]._to_rest_object() == training.jobs["prepare"]._to_rest_object()
    assert job.jobs["gather"].component.is_deterministic is False  # more is collected under the same address
    for step in ("train", "evaluate", "register"):
        assert "gather" in str(job.jobs[step]._to_rest_object()["inputs"]["new"])
        assert "new" not in training.jobs[step]._to_rest_object()["inputs"]


def test_a_drift_is_one_setting_away() -> None:
    override = [{"jobs.gather.inputs.drift.path": "azureml:changes:1"}]
    job = load_job(AML / "pipelines" / "retraining.yml", params_override=override)
    assert job.jobs["gather"].inputs["drift"].path == "changes:1"
    assert job._validate().error_messages == {}


def test_all_of_mnist_is_one_setting_away() -> None:
    override = [{"jobs.prepare.inputs.mnist.path": "azureml:mnist:1"}]
    job = load_job(AML / "pipelines" / "training.yml", params_override=override)
    assert job.jobs["prepare"].inputs["mnist"].path == "mnist:1"
    assert job._validate().error_messages == {}


def test_monitoring_reads_what_azure_and_aml_collect_at_one_path() -> None:
    job = load_job(AML / "pipelines" / "monitoring.yml")
    assert job.inputs["collected"].path == "azureml://datastores/workspaceblobstore/paths/modelDataCollector/"
    assert job.inputs["model"].path == "digits@latest"
    assert set(job.outputs) == {"monitoring"}
    assert job.jobs["monitor"].component.is_deterministic is False  # the same path holds more tomorrow


def test_labels_may_come_later() -> None:
    step = "jobs.monitor.inputs.labels."
    override = [{f"{step}type": "uri_file"}, {f"{step}path": "azureml:digits-labels@latest"}]
    job = load_job(AML / "pipelines" / "monitoring.yml", params_override=override)
    assert job.jobs["monitor"].inputs["labels"].path == "digits-labels@latest"
    assert job._validate().error_messages == {}


def test_the_choices_in_the_yaml_are_those_of_the_code() -> None:
    from digits.network.fit import SCHEDULES
    from digits.network.model import NETWORKS

    inputs = load_component(AML / "components" / "train.yml").inputs
    assert set(inputs["network"].enum) == set(NETWORKS)
    assert set(inputs["schedule"].enum) == set(SCHEDULES)


def test_the_cluster_is_what_a_student_has() -> None:
    cluster = load_compute(AML / "compute" / "cpu-cluster.yml")
    assert (cluster.size, cluster.tier) == ("Standard_D2as_v4", "dedicated")
    assert (cluster.min_instances, cluster.max_instances, cluster.idle_time_before_scale_down) == (0, 1, 180)

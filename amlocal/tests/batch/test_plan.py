"""A model deployment: what is filled in, what is refused, what is kept."""

import shutil

import pytest

from amlocal.core.errors import Problems, UserError


def test_unset_settings_are_those_of_the_service(deploy, client):
    deploy()
    told = client.batch_deployments.describe("first", "tens")
    assert {key: told[key] for key in ("mini_batch_size", "error_threshold", "max_concurrency_per_instance")} == {
        "mini_batch_size": 10,
        "error_threshold": -1,
        "max_concurrency_per_instance": 1,
    }
    assert told["retry_settings"] == {"max_retries": 3, "timeout": 30}
    assert (told["output_action"], told["output_file_name"]) == ("append_row", "predictions.csv")
    assert (told["logging_level"], told["resources"]["instance_count"]) == ("Info", 1)
    assert "settings" not in told and "type" not in told, "flat, as the service shows it"


def test_every_mistake_is_told(deploy):
    settings = {"mini_batch_size": 0, "output_file_name": "../x", "logging_level": "loud", "error_threshold": -2}
    with pytest.raises(Problems) as refused:
        deploy(settings=settings, model="azureml:nope:1", code_configuration={"code": "away", "scoring_script": "s.py"})
    told = "\n".join(refused.value.each)
    for field in ("mini_batch_size: 0", "output_file_name: '../x'", "logging_level: loud", "error_threshold: -2"):
        assert f"deployment first: {field}" in told
    assert "model: " in told and "code_configuration.code: no such folder" in told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"environment": None}, "environment: required with a scoring script"),
        ({"environment": "azureml:nothing:1"}, 'environment: environment "nothing"'),
        ({"code_configuration": None}, "code_configuration: required .* holds no MLmodel file"),
        (
            {"settings": {"mini_batch_size": 1, "output_action": "summary_only", "output_file_name": "a.csv"}},
            "output_file_name: with output_action summary_only there is none",
        ),
    ],
)
def test_what_azure_refuses(deploy, fields, told):
    with pytest.raises(UserError, match=told):
        deploy(**fields)


def test_a_script_with_a_syntax_error_is_refused_unless_nobody_looks(deploy, deployment, client):
    with pytest.raises(UserError, match=r"score.py, line 2: .*--skip-script-validation"):
        deploy(script="\ndef run(:\n")
    client.batch_deployments.begin_create_or_update(deployment(name="second"), skip_script_validation=True).result()
    assert [each.name for each in client.batch_deployments.list("tens")] == ["second"]


def test_a_deployment_keeps_its_code_and_model(deploy, invoke, files, numbers):
    deploy()
    shutil.rmtree(files / "code")
    shutil.rmtree(files / "model")
    assert invoke(numbers).status == "Completed"

"""An invocation's body, as the REST API documents it."""

import pytest

from amlocal.batch.request import Given, address, read
from amlocal.core.errors import UserError

ARM = "/subscriptions/0/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


def test_the_documented_body():
    request = read(
        {
            "properties": {
                "InputData": {
                    "heart_data": {"JobInputType": "UriFolder", "Uri": f"{ARM}/data/heart/versions/1"},
                    "score_mode": {"JobInputType": "Literal", "Value": "append"},
                },
                "OutputData": {
                    "score": {
                        "JobOutputType": "UriFile",
                        "Uri": f"{ARM}/datastores/workspaceblobstore/paths/batch-jobs/unique",
                    }
                },
                "properties": {"experimentName": "my-experiment"},
            }
        }
    )
    assert request.inputs == {
        "heart_data": Given("uri_folder", f"{ARM}/data/heart/versions/1"),
        "score_mode": Given("literal", "append"),
    }
    place = f"azureml:/{ARM}/datastores/workspaceblobstore/paths/batch-jobs/unique"
    assert request.outputs == {"score": Given("uri_file", place)}
    assert (request.experiment_name, request.job_name, request.settings) == ("my-experiment", None, {})


def test_settings_and_the_names_that_the_sdk_sends():
    body = {
        "miniBatchSize": 5,
        "errorThreshold": "3",
        "compute": {"instanceCount": 2, "isLocal": True},
        "retrySettings": {"maxRetries": 1, "timeout": "PT1M30S"},
        "outputFileName": "scores.csv",
        "outputDataset": {"datastoreId": "azureml:workspaceblobstore", "path": "/a/b/"},
        "name": "mine",
    }
    request = read({"properties": body})
    assert request.settings == {
        "mini_batch_size": 5,
        "error_threshold": 3,
        "instance_count": 2,
        "max_retries": 1,
        "timeout": 90,
        "output_file_name": "scores.csv",
    }
    assert request.output_folder == "azureml://datastores/workspaceblobstore/paths/a/b"
    assert request.job_name == "mine"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "the body: \\[\\] is not an object"),
        ({"properties": {"InputData": {"d": {"JobInputType": "Spark"}}}}, "InputData.d.JobInputType: Spark is none of"),
        ({"properties": {"InputData": {"d": {"JobInputType": "UriFile"}}}}, "InputData.d.Uri: required"),
        ({"properties": {"InputData": {"d": "x"}}}, "InputData.d: 'x' is not an object"),
        ({"properties": {"MiniBatchSize": "many"}}, "MiniBatchSize: 'many' is not a whole number"),
        ({"properties": {"RetrySettings": {"Timeout": "soon"}}}, "RetrySettings.Timeout: 'soon'"),
        ({"properties": {"name": 7}}, "name: 7 is not a text"),
    ],
)
def test_what_cannot_be_read_is_named(body, told):
    with pytest.raises(UserError, match=told):
        read(body)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("azureml:d:1", "azureml:d:1"),
        ("azureml:workspaceblobstore/paths/a b/c", "azureml://datastores/workspaceblobstore/paths/a b/c"),
        (f"azureml:{ARM}/datastores/s/paths/p", f"azureml:/{ARM}/datastores/s/paths/p"),
        ("https://example.org/a.csv", "https://example.org/a.csv"),
        ("/data/images", "/data/images"),
    ],
)
def test_addresses(written, meant):
    assert address(written) == meant

"""`infra`, run here: the plan, the deployment, and that nothing happens where another branch than main could do it."""

import pytest
from tests.workflows.conftest import run_steps


def test_a_push_to_main_shows_what_would_change_and_deploys_it(azure):
    runner, double = azure
    ran = runner("infra", ref="refs/heads/main")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("infra")
    assert "### What `infra/student.bicepparam` would change" in ran.summary
    assert "+ /subscriptions/***/resourceGroups/rg-digits/providers/Microsoft.Storage/storageAccounts/" in ran.summary
    assert 'properties.tenantId: "***"' in ran.summary
    assert '"AZURE_WORKSPACE": "mlw-digits"' in ran.summary
    assert '"AZURE_RESOURCE_GROUP": "rg-digits"' in ran.summary
    [deployment] = [request for request in double.requests if request.method == "PUT"]
    parameters = {name: one["value"] for name, one in deployment.body["properties"]["parameters"].items()}
    assert parameters["repository"] == "somebody/digits", "the identity of the workflows would not be deployed"
    assert parameters["location"] == "westeurope"
    assert ran.leaks(double) == []


def test_what_azure_refuses_is_red(azure):
    runner, double = azure
    double.deployments.refusal = ("RequestDisallowedByAzure", "Resource was disallowed by Azure: not in this region.")
    ran = runner("infra", ref="refs/heads/main")
    assert not ran.green
    assert "RequestDisallowedByAzure" in ran.log
    assert "Deployed" not in ran.summary
    assert ran.leaks(double) == []


@pytest.mark.parametrize("branches", [[], ["main", "feature/*"], ["develop"]])
def test_an_environment_that_other_branches_may_use_is_refused(azure, branches):
    runner, double = azure
    runner.environment_branches(*branches)
    ran = runner("infra", ref="refs/heads/main")
    assert not ran.green
    assert f"it may be used by: {' '.join(branches) or 'every branch, or there is no such environment'}." in ran.log
    assert double.requests == []


def test_no_other_repository_gets_trusted(azure):
    runner, double = azure
    runner.variables["AZURE_REPOSITORY"] = "somebody@1/else@2"
    ran = runner("infra", ref="refs/heads/main")
    assert not ran.green
    assert "AZURE_REPOSITORY is somebody@1/else@2, not somebody/digits or somebody@" in ran.log
    assert double.requests == []


def test_other_branches_deploy_nothing(azure):
    runner, double = azure
    assert runner("infra", "workflow_dispatch", ref="refs/heads/branch", inputs={}).green
    assert double.requests == []


def test_without_the_right_to_deploy_nothing_happens(azure):
    runner, double = azure
    del runner.variables["AZURE_WORKFLOWS_MAY_DEPLOY"]
    assert runner("infra", ref="refs/heads/main").green
    assert double.requests == []

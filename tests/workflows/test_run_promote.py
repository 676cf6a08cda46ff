"""`promote`, run here in front of the double: from a workspace through a registry into another workspace."""

import pytest
from double.arm import ML
from tests.workflows.conftest import run_steps
from tests.workflows.test_run_deploy import RIGHT, VERSION, averages, cloud, here  # noqa: F401 (fixtures)

PROD, REGISTRY = "mlw-prod", "mlr-digits"
ADDRESS = f"azureml://registries/{REGISTRY}/models/digits/versions/{VERSION}"


@pytest.fixture
def two(cloud):  # noqa: F811
    """A model in the development workspace, a production workspace beside it, and an empty registry."""
    runner, double = cloud
    double.workspaces.create(PROD)
    group = double.workspace_id.partition("/providers/")[0]
    double.store.make(f"{group}/providers/{ML}/registries/{REGISTRY}", {"location": double.location, "properties": {}})
    for name in ("AZURE_DEFAULTS_GROUP", "AZURE_DEFAULTS_WORKSPACE"):
        del runner.environment[name]  # act would prefer it to what a job says
    runner.secrets["AZURE_PROD_CLIENT_ID"] = runner.secrets["AZURE_CLIENT_ID"]
    runner.variables |= {"AZURE_REGISTRY": REGISTRY, "AZURE_PROD_WORKSPACE": PROD}
    runner.variables["AZURE_PROD_RESOURCE_GROUP"] = double.resource_group
    double.requests.clear()
    return runner, double


def promote(runner, **payload):
    return runner("promote", "workflow_dispatch", inputs={"version": VERSION}, **{"ref": "refs/heads/main", **payload})


def changed(double):
    """Each workspace that something was put into."""
    puts = [one.path for one in double.requests if one.method == "PUT" and "/workspaces/" in one.path]
    return {path.partition("/workspaces/")[2].partition("/")[0] for path in puts}


def test_the_model_goes_from_dev_to_the_registry_to_prod(two):
    runner, double = two
    first = promote(runner)
    assert first.green, first.log
    assert f"### `digits:{VERSION}` in the registry `{REGISTRY}`\nIt is there now" in first.summary
    assert changed(double) == {PROD}, "nothing of dev changes"
    prod = f"{double.workspaces.id_of(PROD)}/onlineEndpoints/digits"
    assert double.store.get(prod)["properties"]["traffic"] == {"blue": 100}
    assert double.store.get(f"{prod}/deployments/blue")["properties"]["model"] == ADDRESS
    assert double.store.get(f"{double.workspace_id}/onlineEndpoints/digits") is None
    assert f"- `blue` is up, with no traffic: it {RIGHT}" in first.summary
    assert first.steps >= run_steps("promote") - {"Back"}

    second = promote(runner)
    assert second.green, second.log
    assert "It was there already" in second.summary
    assert double.store.get(prod)["properties"]["traffic"]["green"] == 100
    assert first.leaks(double) == second.leaks(double) == []


def test_without_quota_in_prod_the_registry_s_model_is_tried_on_the_runner(two):
    runner, double = two
    double.endpoints.refuse("quota")
    ran = promote(runner)
    assert ran.green, ran.log
    assert f"- Deployed on the runner instead, from the same file: it {RIGHT}" in ran.summary
    assert "aml batch-deployment create -f aml/endpoints/digits-batch/deployment.yml --set-default" in ran.log
    assert here(runner) == (["blue"], [])
    assert "Switch" not in ran.steps
    assert ran.leaks(double) == []


@pytest.mark.parametrize("branches", [[], ["main", "feature/*"]])
def test_an_environment_that_other_branches_may_use_is_refused(two, branches):
    runner, double = two
    runner.environment_branches(*branches)
    ran = promote(runner)
    assert not ran.green
    assert "The environment production is open" in ran.log
    assert double.requests == []


def test_with_one_workspace_or_on_another_branch_nothing_happens(two):
    runner, double = two
    assert promote(runner, ref="refs/heads/branch").green
    del runner.variables["AZURE_REGISTRY"]
    assert promote(runner).green
    assert double.requests == []

"""`infra`, run here: the plan as a comment, the deployment, and that forks are left alone."""

from tests.workflows.conftest import run_steps


def pull_request(runner, repository):
    head = {"repo": {"full_name": repository}, "ref": "branch"}
    return runner("infra", "pull_request", pull_request={"number": 7, "head": head, "base": {"ref": "main"}})


def test_a_pull_request_is_told_what_would_change(azure):
    runner, double = azure
    ran = pull_request(runner, "somebody/digits")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("infra", "plan")
    [comment] = ran.comments
    assert comment.startswith("### What `infra/student.bicepparam` would change\n```\n")
    assert "+ /subscriptions/***/resourceGroups/rg-digits/providers/Microsoft.Storage/storageAccounts/" in comment
    assert 'properties.tenantId: "***"' in comment
    assert (runner.folder / "gh").read_text().split()[:3] == ["pr", "comment", "7"]
    assert not [request for request in double.requests if request.method == "PUT"], "a plan changes nothing"
    assert ran.leaks(double) == []


def test_a_fork_is_left_alone(azure):
    runner, double = azure
    ran = pull_request(runner, "else/digits")
    assert ran.green
    assert ran.comments == []
    assert double.requests == []


def test_a_push_to_main_deploys(azure):
    runner, double = azure
    ran = runner("infra", ref="refs/heads/main")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("infra", "deploy")
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


def test_other_branches_deploy_nothing(azure):
    runner, double = azure
    assert runner("infra", "workflow_dispatch", ref="refs/heads/branch", inputs={}).green
    assert double.requests == []


def test_without_the_right_to_deploy_nothing_happens(azure):
    runner, double = azure
    del runner.variables["AZURE_WORKFLOWS_MAY_DEPLOY"]
    assert runner("infra", ref="refs/heads/main").green
    assert double.requests == []

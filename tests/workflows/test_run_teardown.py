"""`teardown`, run here in front of the double: what is idle goes, what is used stays, what is gone can come again."""

import pytest
from double import Refusal, Request
from tests.workflows.conftest import run_steps

LONG_AGO = "2026-01-01T00:00:00.000000+00:00"


@pytest.fixture
def endpoints(azure):
    """Makes endpoints: how often each was called in the last hour, and whether it is new."""
    _, double = azure

    def make(name, calls=0, new=False):
        body = {"location": double.location, "properties": {"authMode": "Key"}}
        double.store.make(f"{double.workspace_id}/onlineEndpoints/{name}", body)
        double.endpoints.calls[name] = calls
        if not new:
            found = double.store.get(f"{double.workspace_id}/onlineEndpoints/{name}")
            for stamps in (found["systemData"], found["properties"]["properties"]):
                stamps |= {"createdAt": LONG_AGO, "lastModifiedAt": LONG_AGO}

    return make


def left(double):
    return sorted(
        one["name"] for one in double.store.of_type("Microsoft.MachineLearningServices/workspaces/onlineEndpoints")
    )


def scheduled(runner):
    return runner("teardown", "schedule", schedule="17 */6 * * *")


def test_idle_endpoints_go_and_others_stay(azure, endpoints):
    runner, double = azure
    endpoints("asked", calls=3)
    endpoints("fresh", new=True)
    endpoints("forgotten")
    ran = scheduled(runner)
    assert ran.green, ran.log
    assert left(double) == ["asked", "fresh"]
    assert "### Endpoints idle for 24 hours" in ran.summary
    for line in (
        "- `forgotten`: deleted",
        "- `asked`: kept, it had requests in 1 of these hours",
        "- `fresh`: kept, it was changed in these hours",
    ):
        assert line in ran.summary
    metrics = [request for request in double.requests if request.path.endswith("/Microsoft.Insights/metrics")]
    assert {request.query["metricnames"] for request in metrics} == {"RequestsPerMinute"}
    assert ran.leaks(double) == []


def test_everything_goes_and_can_be_made_again(azure, endpoints):
    runner, double = azure
    first = runner("infra", ref="refs/heads/main")
    assert first.green, first.log
    endpoints("digits", calls=3)

    ran = runner("teardown", "workflow_dispatch", inputs={"everything": double.resource_group})
    assert ran.green, ran.log
    assert double.resource_group not in double.resources.groups
    assert "- workspace `mlw-digits`: deleted for good" in ran.summary
    assert "- logs `log-digits`: deleted for good" in ran.summary
    assert [r.query["force"] for r in double.requests if r.method == "DELETE" and "/log-digits" in r.path] == ["true"]
    assert "- Key Vault `kv-digits-" in ran.summary
    assert ran.leaks(double) == []

    idle = scheduled(runner)
    assert idle.green, idle.log
    assert "There is no workspace `mlw-digits`: nothing to take down." in idle.summary

    assert ran.steps | idle.steps >= run_steps("teardown")
    # A workspace or a vault that was only soft-deleted would hold its name against this.
    again = runner("infra", ref="refs/heads/main")
    assert again.green, again.log


def test_a_soft_deleted_workspace_would_be_in_the_way(azure):
    """That the double notices: without it the test above proves nothing."""
    _, double = azure
    double.workspaces.remove(
        Request("DELETE", "", "", double.workspace_id, {}, {}, b""), double.store.get(double.workspace_id)
    )
    with pytest.raises(Refusal, match="Soft-deleted workspace exists"):
        double.workspaces.create(double.workspace)


def test_everything_wants_the_groups_name(azure):
    runner, double = azure
    ran = runner("teardown", "workflow_dispatch", inputs={"everything": "yes"})
    assert not ran.green
    assert "not the resource group's name" in ran.log
    assert double.resource_group in double.resources.groups

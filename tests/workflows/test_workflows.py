"""What a reader, GitHub and an attacker would find in the workflows without running them."""

import os
import re
import shutil
import subprocess

import pytest
import yaml
from tests.workflows.conftest import ROOT, TOOLS, WORKFLOWS, jobs, tool, used

NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.yml"))
PATH = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
CLOUD = ["deploy", "infra", "monitor", "promote", "teardown", "train"]
# Azure lets in `main` as one identity, and as another the jobs of each environment that only main may use.
IDENTITIES = {
    None: "AZURE_CLIENT_ID",
    "infra": "AZURE_INFRA_CLIENT_ID",
    "production": "AZURE_PROD_CLIENT_ID",
}


def check(*words):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_the_nine():
    assert NAMES == ["ci", "deploy", "infra", "monitor", "promote", "release", "retirements", "teardown", "train"]


def test_a_release_is_published_with_the_uv_of_the_lock_and_no_secret():
    text = (WORKFLOWS / "release.yml").read_text()
    [version] = re.findall(r"^uv==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    assert re.findall(r"uv==(\S+)", text) == [version]
    assert "secrets." not in text and "vars." not in text
    allowed = {name: job["permissions"] for name, job in jobs("release").items()}
    assert allowed == {"build": {"contents": "read"}, "publish": {"id-token": "write"}}


def test_actionlint_and_shellcheck_find_nothing():
    actionlint = tool("actionlint")
    shellcheck = shutil.which("shellcheck", path=PATH) or pytest.skip("shellcheck is neither in .tools/ nor on PATH")
    check(actionlint, "-shellcheck", shellcheck)
    check(shellcheck, *map(str, (ROOT / ".github" / "scripts").glob("*.sh")))


def test_zizmor_finds_nothing():
    check(tool("zizmor"), "--offline", "--no-progress", ".github")


@pytest.mark.parametrize("schema", ["github-workflows", "dependabot"])
def test_the_schema_is_kept(schema):
    files = WORKFLOWS.glob("*.yml") if schema == "github-workflows" else [ROOT / ".github" / "dependabot.yml"]
    check(tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *map(str, files))


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_by_commit_with_the_version_beside(name):
    text = (WORKFLOWS / f"{name}.yml").read_text()
    lines = [line for line in text.splitlines() if "uses:" in line]
    assert len(lines) == len(used(name)) > 0
    for line in lines:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("name", CLOUD)
def test_azure_is_entered_by_oidc_and_by_nothing_else(name):
    signed_in = 0
    for job in jobs(name).values():
        logins = [step for step in job["steps"] if step.get("uses", "").startswith("azure/login@")]
        if not logins:
            assert "id-token" not in job["permissions"] and "secrets.AZURE" not in str(job)
            continue
        signed_in += 1
        for login in logins:
            assert set(login["with"]) == {"client-id", "tenant-id", "subscription-id"}
        wanted = IDENTITIES[job.get("environment")]
        assert {login["with"]["client-id"] for login in logins} == {f"${{{{ secrets.{wanted} }}}}"}
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
    assert signed_in


def test_what_changes_the_infrastructure_is_done_as_its_own_identity():
    """A training installs packages; none of them may come near the right to change the subscription."""
    ours = [(name, key, job) for name in CLOUD for key, job in jobs(name).items()]
    changing = [(name, key) for name, key, job in ours if re.search(r"deployment sub|teardown.sh everything", str(job))]
    assert changing == [("infra", "plan"), ("infra", "deploy"), ("teardown", "everything")]
    assert [(name, key) for name, key, job in ours if job.get("environment") == "infra"] == changing
    for name, key in changing:
        assert "make install" not in str(jobs(name)[key]) and "pip install" not in str(jobs(name)[key])


@pytest.mark.parametrize("name", CLOUD)
def test_a_pull_request_does_not_reach_azure(name):
    events = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))[True]  # `on` is a truth in YAML
    assert set(events) <= {"push", "schedule", "workflow_dispatch"}
    assert "push" not in events or events["push"]["branches"] == ["main"]


def test_the_subjects_that_azure_trusts_are_those_of_the_workflows():
    bicep = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    assert "param subject string = 'ref:refs/heads/main'\n" in bicep
    assert "param deploySubject string = 'environment:infra'\n" in bicep
    assert "param workflowsMayDeploy bool = false\n" in bicep


def test_the_traffic_moves_after_an_approval_only():
    chosen = jobs("deploy")
    assert chosen["approval"]["environment"] == "production"
    assert chosen["approval"]["permissions"] == {}
    switching = {name for name, job in chosen.items() for step in job["steps"] if "deploy.py switch" in str(step)}
    assert switching == {"production"}
    assert "approval" in chosen["production"]["needs"]


def test_production_is_entered_after_an_approval_only():
    """Where there are two workspaces, by a job of the environment that has reviewers, once only main may use that."""
    chosen = jobs("promote")
    assert [name for name, job in chosen.items() if "environment" in job] == ["production"]
    assert chosen["production"]["environment"] == "production"
    assert chosen["production"]["needs"] == "share" and chosen["share"]["needs"] == "guard"
    assert "only_main.sh production" in str(chosen["guard"])
    assert [name for name, job in chosen.items() if "AZURE_PROD_" in str(job)] == ["production"]
    bicep = (ROOT / "infra" / "promotion.bicep").read_text(encoding="utf-8")
    assert "param productionSubject string = 'environment:production'\n" in bicep
    assert "    subject: productionSubject\n" in bicep


def test_what_writes_issues_has_no_way_into_azure():
    for name in NAMES:
        for job in jobs(name).values():
            if "issues" in job.get("permissions", {}):
                expected = {"contents": "read", "issues": "write"}
                assert job["permissions"] == expected | ({"actions": "write"} if name == "monitor" else {})
                assert name in ("monitor", "retirements")
                assert "environment" not in job and "azure/login" not in str(job)
                # The address of a chat's webhook opens nothing in Azure.
                secrets = re.findall(r"secrets\.(\w+)", str(job))
                assert secrets == (["DRIFT_WEBHOOK"] if name == "monitor" else [])


def test_ci_wants_no_secret():
    text = (WORKFLOWS / "ci.yml").read_text()
    assert re.findall(r"secrets\.|vars\.|id-token", text) == []


@pytest.mark.parametrize("name", NAMES)
def test_jobs_end_and_do_not_overtake_each_other(name):
    assert "group" in yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())["concurrency"]
    assert all(job["timeout-minutes"] <= 90 for job in jobs(name).values())

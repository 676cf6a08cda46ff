"""The infrastructure itself: clean in the checker's eyes, and in step with the specs that run on it."""

import re
import subprocess
import sys
from pathlib import Path

import yaml
from tests.infra.conftest import ROOT

INFRA = ROOT / "infra"
FILES = sorted([*INFRA.rglob("*.bicep"), *INFRA.rglob("*.bicepparam")])


def test_all_files_are_clean(check):
    assert len(FILES) >= 9
    assert check(*FILES) == []


def test_command_prints_faults_as_file_line_message(copy, catalogue):
    file = copy / "modules" / "github.bicep"
    file.write_text(file.read_text().replace("location: location", "location: region"))

    done = _checker(copy)

    assert done.returncode == 1
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "region" in line)
    assert f"{file}:{number}: 'region' is not defined" in done.stdout.splitlines()


def test_command_is_silent_about_clean_files(catalogue):
    done = _checker(INFRA)
    assert (done.returncode, done.stdout) == (0, "")


def test_command_says_which_tool_is_missing(tmp_path):
    done = _checker(INFRA, "--tools", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("azmcp is not") and "Traceback" not in done.stderr


def test_cluster_is_the_one_the_specs_name():
    spec = yaml.safe_load((ROOT / "aml" / "compute" / "cpu-cluster.yml").read_text())
    main = (INFRA / "main.bicep").read_text()
    module = (INFRA / "modules" / "workspace.bicep").read_text()

    def default(name: str) -> str:
        found = re.search(rf"^param {name} \w+ = (.+)$", main, re.MULTILINE)
        assert found, name
        return found[1].strip("'")

    assert f"var clusterName = '{spec['name']}'\n" in main
    assert default("vmSize") == spec["size"]
    assert f"vmPriority: '{spec['tier'].capitalize()}'" in module
    assert int(default("maxNodes")) == spec["max_instances"]
    assert int(default("idleSeconds")) == spec["idle_time_before_scale_down"]
    assert f"minNodeCount: {spec['min_instances']}" in module


def test_workflows_may_hand_out_the_roles_that_are_handed_out_and_no_others():
    guid = r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})' //"
    modules = [INFRA / "modules" / f"{name}.bicep" for name in ("access", "registry-access")]
    handed_out = {role for module in modules for role in re.findall(guid, module.read_text())}
    grantable = re.search(r"var grantable = \[(.+?)\n\]", (INFRA / "modules" / "deployer.bicep").read_text(), re.DOTALL)
    assert grantable
    assert handed_out == set(re.findall(guid, grantable[1])) != set()


def test_the_workflow_deploys_either_template():
    """Every output that it asks for is in both."""
    asked = set(re.findall(r"(\w+)\.value", (ROOT / ".github" / "workflows" / "infra.yml").read_text()))
    assert asked
    for name in ("main", "promotion"):
        assert asked <= set(re.findall(r"^output (\w+)", (INFRA / f"{name}.bicep").read_text(), re.MULTILINE))


def test_who_deploys_in_prod_can_only_read_the_registry():
    main = (INFRA / "promotion.bicep").read_text()
    uses = re.findall(r"identityName: 'id-\$\{name\}(\w+-\w+)'\n(?:.*\n)+?  \}", main)
    assert uses == ["dev-github", "prod-github", "prod-jobs"]
    writers = re.findall(r"identityName: 'id-\$\{name\}(\w+-\w+)'\n.*\n    writes: true\n", main)
    assert writers == ["dev-github"]
    assert "param writes bool = false\n" in (INFRA / "modules" / "registry-access.bicep").read_text()


def _checker(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.infra.checker", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

"""Security policy: checkov reads every Bicep file and finds nothing; every skip has a reason and is needed."""

import json
import os
import re
import shutil
import subprocess

import pytest
from tests.infra.conftest import ROOT


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, list]:
    """What checkov says of infra/ and of a registry with its admin user on. One run: starting takes the time."""
    checkov = shutil.which(
        "checkov", path=os.pathsep.join(str(ROOT / ".tools" / folder) for folder in ("bin", "Scripts"))
    )
    if checkov is None:
        pytest.skip("checkov is not in .tools/: `make tools` installs it")
    copy = shutil.copytree(ROOT / "infra", tmp_path_factory.mktemp("checkov") / "infra")
    stores = (copy / "modules" / "stores.bicep").read_text()
    (copy / "insecure.bicep").write_text(stores.replace("adminUserEnabled: false", "adminUserEnabled: true"))
    command = [checkov, "--framework", "bicep", "--skip-download", "-o", "json", "-d", str(copy)]
    return json.loads(subprocess.run(command, capture_output=True, text=True).stdout)["results"]


def of(checks: list[dict], insecure: bool = False) -> list[dict]:
    """The checks of our own files, or of the insecure one."""
    return [check for check in checks if check["file_path"].endswith("insecure.bicep") is insecure]


def test_every_file_is_parsed_and_nothing_fails(results):
    assert results["parsing_errors"] == []
    assert [(check["check_id"], check["file_path"]) for check in of(results["failed_checks"])] == []
    assert len(of(results["passed_checks"])) > 5


def test_the_scan_is_awake(results):
    assert [check["check_id"] for check in of(results["failed_checks"], insecure=True)] == ["CKV_AZURE_137"]


def test_every_skip_has_a_reason_and_is_needed(results):
    written = {}
    for file in (ROOT / "infra").rglob("*.bicep"):
        written.update(re.findall(r"//checkov:skip=(\w+):(.*)", file.read_text()))
    skipped = {check["check_id"]: check["check_result"]["suppress_comment"] for check in of(results["skipped_checks"])}
    assert skipped == written
    assert all(len(reason.split()) > 3 for reason in written.values())

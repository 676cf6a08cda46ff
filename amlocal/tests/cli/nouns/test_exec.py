"""`aml exec`, and the `az` that a command finds in it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amlocal.cli.nouns.exec import STAND_IN, surroundings


@pytest.fixture
def run(tmp_path):
    """Runs `aml exec -- words`; `target` and anything else of `subprocess.run` by name."""
    environment = os.environ | {"AMLOCAL_HOME": str(tmp_path / ".amlocal")}
    environment.pop("AML_TARGET", None)

    def go(*words, target=None, env=None, **options):
        flags = ["--target", target] if target else []
        command = [sys.executable, "-m", "amlocal", "exec", *flags, "--", *words]
        return subprocess.run(
            command, env=environment | (env or {}), cwd=tmp_path, capture_output=True, text=True, check=False, **options
        )

    return go


def python(*lines):
    return [sys.executable, "-c", "\n".join(lines)]


# ---- the command


def test_the_command_has_stdin_stdout_and_the_exit_code(run):
    ran = run(*python("import sys", "print(sys.stdin.read().upper())", "sys.exit(7)"), input="hello")
    assert (ran.stdout.strip(), ran.returncode) == ("HELLO", 7)


def test_its_flags_are_its_own(run):
    ran = run(
        *python("import sys", "print(sys.argv[1:])"), "--query", "x", "-o", "y", "--help", "--", "--target", "moon"
    )
    assert ran.stdout.strip() == "['--query', 'x', '-o', 'y', '--help', '--', '--target', 'moon']"


@pytest.mark.parametrize("target", [None, "local", "azure"])
def test_the_target_reaches_the_commands_inside(run, target):
    ran = run(*python("import os", "print(os.environ['AML_TARGET'])"), target=target)
    assert ran.stdout.strip() == (target or "local")


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "exec: name the command after --"), (["nope"], "exec: there is no command nope on PATH")],
)
def test_what_is_wrong_is_one_line(run, words, message):
    ran = run(*words)
    assert ran.returncode == 1
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="a Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c_is_the_commands(tmp_path):
    ready = tmp_path / "ready"
    script = python(
        "import pathlib, signal, sys, time",
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(42))",
        f"pathlib.Path({str(ready)!r}).touch()",
        "time.sleep(60)",
    )
    process = subprocess.Popen([sys.executable, "-m", "amlocal", "exec", "--", *script])
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 42


def test_the_stand_in_is_first_on_path_and_there_once():
    path = surroundings(surroundings({"PATH": "/usr/bin"}))["PATH"].split(os.pathsep)
    assert path == [str(STAND_IN), "/usr/bin"]


def test_windows_and_the_others_start_the_same_program():
    ours = (STAND_IN / "az").read_text()
    theirs = (STAND_IN / "az.cmd").read_bytes().decode()
    assert '"$AML_PYTHON" -P -m amlocal.cli.az "$@"' in ours
    assert '"%AML_PYTHON%" -P -m amlocal.cli.az %*' in theirs
    assert theirs.count("\r\n") == theirs.count("\n") == 2


# ---- az, where the target is local


def test_az_ml_is_aml(run):
    ran = run("az", "ml", "job", "list", "--resource-group", "g", "--workspace-name", "w", "-o", "json")
    assert (json.loads(ran.stdout), ran.returncode) == ([], 0)
    ran = run("az", "ml", "job", "show", "--name", "nope")
    assert ran.returncode == 1
    assert 'job "nope" was not found in this workspace' in ran.stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("login --service-principal --username a --password b --tenant c --query [].name -o tsv", "local"),
        ("account show --query state -o tsv", "Enabled"),
        ("account set --subscription mine", ""),
        ("account get-access-token --resource https://x --query tokenType -o tsv", "Bearer"),
        ("configure --defaults group=g workspace=w location=l", ""),
        ("extension add --name ml --yes", ""),
        ("extension show -n ml --query name -o tsv", "ml"),
        ("group create --name g --location l --tags a=b c=d --query name -o tsv", "g"),
        ("group show -g g --query properties.provisioningState -o tsv", "Succeeded"),
        ("group exists -n g", "true"),
        ("group delete -n g --yes --no-wait", ""),
        ("version --query extensions.ml -o tsv", "2.0.0"),
        ("--only-show-errors account show --query state -o tsv", "Enabled"),
        ("configure -l --query [?name=='group'].value -o tsv", "local"),
        ("config get --query defaults[?name=='location'].value -o tsv", "local"),
        ("group show --query location -o tsv", "local"),
    ],
)
def test_what_a_step_asks_is_answered(run, words, answer):
    ran = run("az", *words.split())
    assert (ran.stdout.strip(), ran.returncode) == (answer, 0), ran.stderr


def test_a_deployment_needs_its_files(run, tmp_path):
    (tmp_path / "student.bicepparam").write_text("using './main.bicep'\n")

    def deployment(verb, *flags):
        return run("az", "deployment", "sub", verb, "--location", "l", *flags)

    for verb in ("create", "what-if", "validate"):
        ran = deployment(verb, "--parameters", "student.bicepparam", "location=x")
        assert ran.returncode == 0, ran.stderr
    ran = deployment("create", "--name", "n", "-p", "student.bicepparam", "--query", "properties.outputs")
    assert json.loads(ran.stdout) == {}
    ran = deployment("create", "-p", "team.bicepparam")
    assert (ran.returncode, ran.stderr.strip()) == (1, "ERROR: team.bicepparam: there is no such file")
    ran = deployment("create")
    assert (ran.returncode, "--template-file" in ran.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        "ml job list -o json",
        "--only-show-errors ml job list -o json",
        "-o json ml job list --max-results=5 --only-show-errors",
        "ml --output json job list --subscription s -g g -w w",
    ],
)
def test_az_ml_whatever_its_form(run, words):
    ran = run("az", *words.split())
    assert (ran.stdout, ran.returncode) == ("[]\n", 0), ran.stderr


def test_az_says_its_version(run):
    ran = run("az", "--version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("azure-cli 2.0.0 (the stand-in of aml exec)")


def test_defaults_are_remembered(run, tmp_path):
    assert run("az", "configure", "--defaults", "group=g1", "workspace=w1").returncode == 0
    assert run("az", "config", "set", "defaults.location=mars").returncode == 0

    def told(words):
        return run("az", *words.split(), "-o", "tsv").stdout.strip()

    assert told("configure --list-defaults --query [].value") == "g1\nmars\nw1"
    assert told("config get defaults.workspace --query value") == "w1"
    assert told("group show --query [name,location]") == "g1\nmars"
    ran = run("az", "config", "get", "defaults.nope")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "network vnet create",
            "is not emulated here: it is about virtual networks in Azure; instead: endpoints listen",
        ),
        ("vm create -n x", "is not emulated here: it is about virtual machines in Azure; instead: this machine"),
        ("quantum job submit", "is not emulated here; for the real thing, install the Azure CLI"),
    ],
)
def test_what_it_does_not_know_it_says(run, words, says):
    ran = run("az", *words.split(), env={"PATH": os.pathsep.join(_without_az())})
    assert ran.returncode == 1
    command = " ".join(["az", *words.split(" -")[0].split()])
    assert f"`{command}` {says}" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="a script of bash")
def test_a_script_reads_back_what_it_has_set(run, tmp_path):
    (tmp_path / "detect.sh").write_text(
        "set -e\n"
        "az group create -n rg-one -l westeurope -o none\n"
        """group=$(az group list --query "[?starts_with(name, 'rg-')].name | [0]" -o tsv)\n"""
        'workspace=$(az ml workspace list -g "$group" --query "[0].name" -o tsv)\n'
        'echo "$group $workspace"\n'
    )
    ran = run("bash", "detect.sh")
    assert (ran.stdout.split(), ran.returncode) == (["rg-one", tmp_path.name], 0), ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="the az behind it is a shell script")
def test_what_it_does_not_know_goes_to_the_next_az(run, tmp_path):
    real = tmp_path / "bin" / "az"
    real.parent.mkdir()
    real.write_text('#!/bin/sh\necho "real $* [$PYTHONPATH]"\nexit 3\n')
    real.chmod(0o755)
    path = {"PATH": f"{real.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    ran = run("az", "network", "vnet", "show", "--name", "a b", env=path)
    assert (ran.stdout.strip(), ran.returncode) == ("real network vnet show --name a b []", 3)
    ran = run("az", "account", "show", "--query", "state", "-o", "tsv", env=path)
    assert ran.stdout.strip() == "Enabled"


def test_a_wrong_flag_is_a_usage_error(run):
    ran = run("az", "account", "show", "--nmae", "x")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)


def _without_az():
    return [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "az").exists()]


# ---- az, where the target is Azure


@pytest.mark.skipif(os.name == "nt", reason="the az behind it is a shell script")
def test_the_rest_goes_to_the_next_az(run, tmp_path):
    real = tmp_path / "bin" / "az"
    real.parent.mkdir()
    real.write_text('#!/bin/sh\necho "real $*"\nexit 3\n')
    real.chmod(0o755)
    path = {"PATH": f"{real.parent}{os.pathsep}{os.environ['PATH']}"}
    ran = run("az", "group", "show", "--name", "a b", target="azure", env=path)
    assert (ran.stdout.strip(), ran.returncode) == ("real group show --name a b", 3)
    ran = run("az", "ml", "--help", target="azure", env=path)
    assert "aml" in ran.stdout
    assert "real" not in ran.stdout


def test_without_an_az_it_says_what_is_missing(run, tmp_path):
    ran = run("az", "login", target="azure", env={"PATH": str(tmp_path)})
    assert ran.returncode == 1
    assert "is for the Azure CLI, which is not on PATH" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_az_starts_at_once():
    heavy = "{'azure.ai.ml', 'azure.identity', 'mlflow', 'tensorflow', 'numpy'}"
    script = f"import sys, amlocal.cli.az as az; az.main(['login', '-o', 'none']); print({heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"

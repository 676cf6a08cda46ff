"""Installs amlocal into a fresh virtual environment and uses it there as somebody with an Azure ML repository would.

    python tests/smoke.py                                    # this folder, the Python that runs the script
    python tests/smoke.py --python python3.13 dist/*.whl     # another Python, a wheel
    python tests/smoke.py --lowest                           # the oldest of what it depends on

It prints the size of the environment and the seconds that each part took, and stops at the first thing that fails.
Needs uv or pip, and nothing of this repository but what is installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILES = {
    "hello.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
command: echo hello
environment: {image: "python:3"}
""",
    "pipeline.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
settings: {default_compute: azureml:cpu-cluster}
outputs: {model: {type: custom_model}}
jobs:
  prepare:
    type: command
    command: python -c "open(r'${{outputs.data}}/numbers.txt', 'w').write('1 2 3')"
    outputs: {data: {type: uri_folder}}
    environment: {image: "python:3"}
  train:
    type: command
    code: ./src
    command: python train.py "${{inputs.data}}" "${{outputs.model}}"
    inputs: {data: {type: uri_folder, path: "${{parent.jobs.prepare.outputs.data}}"}}
    outputs: {model: "${{parent.outputs.model}}"}
    environment: {image: "python:3"}
""",
    "cluster.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json
name: cpu-cluster
type: amlcompute
size: Standard_F4s_v2
""",
    "endpoint.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: sums
auth_mode: key
""",
    "blue.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: sums
model: azureml:sums@latest
code_configuration: {code: ./src, scoring_script: score.py}
environment: {image: "python:3"}
instance_type: Standard_DS1_v2
instance_count: 1
""",
    "request.json": '{"input_data": [4, 5]}',
    "src/train.py": """
import sys
from pathlib import Path

data, model = map(Path, sys.argv[1:])
numbers = (data / "numbers.txt").read_text().split()
(model / "sum.txt").write_text(str(sum(map(int, numbers))))
""",
    "src/score.py": """
import json
import os
from pathlib import Path


def init():
    global start
    [file] = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("sum.txt")
    start = int(file.read_text())


def run(body):
    return {"total": start + sum(json.loads(body)["input_data"])}
""",
    "program.py": """
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential

client = MLClient(DefaultAzureCredential(), "subscription", "group", "workspace")
print("models:", [model.name for model in client.models.list()])
""",
}
TOO_LARGE = ("tensorflow", "keras", "torch")  # what must not come with amlocal


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"  {time.monotonic() - start:5.1f} s  {what}", flush=True)


def output_of(*words: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command prints; ends the script if the command fails."""
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"FAILED, exit code {done.returncode}: {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def install(python: str, what: str, folder: Path, lowest: bool = False) -> Path:
    """A virtual environment with amlocal, `lowest` with the oldest versions it says it takes; its programs' folder."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    if uv:
        output_of(uv, "venv", "--quiet", "--no-project", "--python", python, folder, cwd=folder.parent)
        versions = "lowest-direct" if lowest else "highest"
        words = ["--quiet", "--python", folder, "--resolution", versions, what]
        output_of(uv, "pip", "install", *words, cwd=folder.parent)
    elif lowest:
        sys.exit("--lowest needs uv")
    else:
        output_of(python, "-m", "venv", folder, cwd=folder.parent)
        output_of(scripts / "python", "-m", "pip", "install", "--quiet", what, cwd=folder.parent)
    return scripts


def size(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def smoke(python: str, what: str, home: Path, lowest: bool) -> None:
    start = time.monotonic()
    with timed("install"):
        scripts = install(python, what, home / "venv", lowest)
    project = home / "my project"
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text.lstrip(), encoding="utf-8")
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("AML", "MLFLOW", "AZURE", "PYTHON"))
    }
    environment = kept | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(home / "venv")}

    def aml(line: str, command: str = "aml") -> str:
        return output_of(scripts / command, *line.split(), cwd=project, env=environment)

    try:
        with timed("hello world, Completed"):
            assert aml("job create -f hello.yml --stream --query status -o tsv").splitlines()[-1] == "Completed"
        print(f"  {time.monotonic() - start:5.1f} s  from an empty folder to Completed")
        with timed("help, with both names"):
            assert "online-endpoint" in aml("--help") and aml("--help") == aml("--help", "amlocal")
        with timed("validate"):
            aml("validate .")
        aml("compute create -f cluster.yml")
        with timed("a pipeline of two steps"):
            aml("job create -f pipeline.yml --stream --name first")
        with timed("a model registered"):
            path = "azureml://jobs/first/outputs/model"
            made = aml(f"model create --name sums --type custom_model --path {path}")
            assert json.loads(made)["version"] == "1"
        with timed("an endpoint"):
            aml("online-endpoint create -f endpoint.yml")
            aml("online-deployment create -f blue.yml --all-traffic")
            answer = json.loads(aml("online-endpoint invoke -n sums -r request.json"))
            assert answer == {"total": 15} or json.loads(answer) == {"total": 15}, answer
        with timed("a program written for MLClient"):
            assert aml("exec -- python program.py").splitlines()[-1] == "models: ['sums']"
        with timed("down"):
            aml("down --yes")
    finally:
        subprocess.run(
            [scripts / "aml", "down", "--yes"], cwd=project, env=environment, capture_output=True, check=False
        )
    look = f"import importlib.util as u; print([n for n in {TOO_LARGE!r} if u.find_spec(n)])"
    assert output_of(scripts / "python", "-c", look, cwd=home).strip() == "[]"
    print(f"  {size(home / 'venv') / 1e6:5.0f} MB  the environment")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the Python to install into")
    parser.add_argument("what", nargs="?", default=str(Path(__file__).parents[1]), help="a folder or a wheel")
    parser.add_argument("--lowest", action="store_true", help="with the lowest versions of what it depends on")
    given = parser.parse_args()
    python = shutil.which(given.python) or given.python
    what = str(Path(given.what).resolve())
    print(f"amlocal on {output_of(python, '--version', cwd=Path.cwd()).strip()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="amlocal-smoke-") as home:
        smoke(python, what, Path(home).resolve(), given.lowest)


if __name__ == "__main__":
    main()

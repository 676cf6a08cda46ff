"""Every component runs where neither package is installed, as on Azure; its model, where no code of ours is."""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from azure.ai.ml import load_component
from azure.ai.ml._utils._asset_utils import get_ignore_file, get_upload_files_from_folder
from tests.drift.support import collect, drift, label
from tests.specs.environments import installed, lacks

from digits.data import hands
from digits.data.sets import embedded

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with this environment's packages but without ours.

    An editable install is a .pth file in site-packages, and those are read in a site folder, not in one that another
    .pth file names.
    """
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = home / scripts / ("python.exe" if os.name == "nt" else "python")
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(folders))
    return python


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This process's environment variables with an MLflow store of their own."""
    home = tmp_path_factory.mktemp("mlflow")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTHON", "DIGITS"))}
    return {**kept, "MLFLOW_TRACKING_URI": f"sqlite:///{(home / 'mlflow.db').as_posix()}", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Azure would receive as `code: ../../src`, of an endpoint or of a parallel component."""
    code = tmp_path_factory.mktemp("code")
    source = ROOT / "src"
    for path, name in get_upload_files_from_folder(str(source), ignore_file=get_ignore_file(source)):
        target = code / Path(name).relative_to("src") if Path(name).parts[0] == "src" else code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return code


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that Azure would receive for a command component, as the client itself puts it together."""

    @functools.cache
    def sent(step: str) -> Path:
        folder = tmp_path_factory.mktemp(step) / "code"
        with load_component(ROOT / "aml" / "components" / f"{step}.yml")._try_build_local_code() as built:
            shutil.copytree(built.path, folder)
        return folder

    return sent


# A Python that reads this as it starts has those packages only which an environment has.
ONLY = """
import importlib.machinery, json, os, sys

class Only:
    lacking = set(json.loads(os.environ["LACKING"]))
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.lacking:
            raise ModuleNotFoundError(f"No module named {name!r} in this environment", name=name)

sys.meta_path.insert(0, Only())
"""


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """Environment variables with which a Python finds no package that an environment under aml/ does not have."""
    site = tmp_path_factory.mktemp("only")
    (site / "sitecustomize.py").write_text(ONLY)

    def only(environment: str) -> dict[str, str]:
        lacking = sorted(module for module in installed() if lacks(environment, module))
        return {"PYTHONPATH": str(site), "LACKING": json.dumps(lacking)}

    return only


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST in small: 200 and 100 digits."""
    train, test = embedded("mnist", "train"), embedded("mnist", "test")
    folder = tmp_path_factory.mktemp("mnist")
    np.savez(
        folder / "mnist.npz",
        x_train=train.images[::20],
        y_train=train.labels[::20],
        x_test=test.images[::10],
        y_test=test.labels[::10],
    )
    return folder


def with_options(command: str, given: dict[str, object]) -> str:
    """A component's command with those of its optional parts, $[[...]], whose inputs are given."""

    def option(part: re.Match[str]) -> str:
        return part[1] if any(f"inputs.{name}}}" in part[1] for name in given) else ""

    return re.sub(r"\$\[\[(.*?)\]\]", option, command)


@pytest.fixture(scope="module")
def run_component(bare_python, environment, sent, only, tmp_path_factory) -> Callable[..., Path]:
    """Runs a component's command with these inputs (else its defaults, else earlier outputs); the folder of outputs.

    In the folder that Azure would receive, and with no package but those of its environment.
    """
    out = tmp_path_factory.mktemp("a place with spaces")

    def run_component(step: str, **given: object) -> Path:
        spec = yaml.safe_load((ROOT / "aml" / "components" / f"{step}.yml").read_text())
        inputs = {n: given.get(n, i.get("default", out / n)) for n, i in spec["inputs"].items()}
        for name, told in spec["inputs"].items():
            if told.get("optional") and name not in given and not (out / name).exists():
                del inputs[name]  # as in a pipeline that does not set it
        command = with_options(spec["command"], inputs)
        for name, value in inputs.items():
            command = command.replace(f"${{{{inputs.{name}}}}}", Path(str(value)).as_posix())
        for name in spec["outputs"]:
            command = command.replace(f"${{{{outputs.{name}}}}}", (out / name).as_posix())
        program, *arguments = shlex.split(command)
        assert program == "python"
        there = environment | only(Path(spec["environment"]).parent.name)
        done = subprocess.run(
            [str(bare_python), *arguments], cwd=sent(step), env=there, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return out

    return run_component


@pytest.fixture(scope="module")
def outputs(run_component, small, tmp_path_factory) -> Path:
    """A folder with the output folder of every component, run one after another: training, then retraining."""
    scratch = tmp_path_factory.mktemp("collected here")
    labels = (np.arange(40) % 10).astype(np.uint8)
    ids = [f"winter-{tick}" for tick in range(40)]
    given = {
        "mnist": small,
        "schedule": "baseline",
        "threshold": 0,
        "agreement": 1,
        "collected": collect(scratch / "modelDataCollector", ids, hands.synthesise("devanagari", labels, seed=1)),
        "labels": label(scratch / "labels.jsonl", ids, labels),
        "drift": drift(scratch / "monitoring", "winter", (0, 39)),
    }
    out = run_component("prepare", **given)
    for step in ("train", "evaluate", "register"):
        run_component(step, **given)
    (out / "verdict").rename(out / "first verdict")
    for step in ("gather", "train", "evaluate", "register"):
        run_component(step, **given)
    return out


def test_an_endpoint_is_sent_digits_and_its_page(code: Path) -> None:
    assert (code / "digits" / "serving" / "score.py").is_file()
    assert {path.name for path in code.iterdir()} == {"digits", "pages", ".amlignore"}
    assert not list(code.rglob("__pycache__"))


@pytest.mark.parametrize(("step", "packages"), [("train", {"digits"}), ("monitor", {"digits", "drift"})])
def test_a_component_is_sent_the_packages_it_needs(sent, step: str, packages: set[str]) -> None:
    assert {path.name for path in sent(step).iterdir()} == packages
    assert not list(sent(step).rglob("__pycache__"))


@pytest.mark.parametrize("environment", ["monitoring", "scoring"])
def test_there_is_no_tensorflow_where_nothing_is_trained(bare_python, only, environment: str) -> None:
    words = [str(bare_python), "-c", "import tensorflow"]
    done = subprocess.run(words, env=only(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "in this environment" in done.stderr


def test_neither_package_is_installed_there(bare_python: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    look = (
        "import importlib.util as u; print(u.find_spec('digits'), u.find_spec('amlocal'), u.find_spec('mlflow').name)"
    )
    done = subprocess.run(
        [str(bare_python), "-c", look], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["None", "None", "mlflow"]


def test_the_components_run(outputs: Path) -> None:
    verdict = json.loads((outputs / "first verdict" / "verdict.json").read_text())
    assert verdict["registered"] and verdict["version"] == 1 and verdict["model_name"] == "digits"
    again = json.loads((outputs / "verdict" / "verdict.json").read_text())
    assert again["champion_version"] == 1 and again["champion_accuracy"] == verdict["accuracy"]
    for name, total in (("", 100), ("_new", 16)):
        told = json.loads((outputs / "evaluation" / f"metrics{name}.json").read_text())
        assert told["total"] == total and told["accuracy"] == again[f"accuracy{name}"]


# An endpoint of the model in its last argument, asked for the digits of asked.npz; records and labels go to the current
# folder.
ENDPOINT = """
import json, os, sys
from pathlib import Path
import numpy as np
from digits.serving import score

class Collector:
    def __init__(self, collection):
        self.file = Path("collected/digits/blue", collection, "2026/03/02/07/0.jsonl")
        self.file.parent.mkdir(parents=True)
    def collect(self, frame, context):
        self.write(context.get_id(), json.loads(frame.to_json(orient="records")))
    def write(self, id, rows):
        record = {"data": rows, "correlationid": id, "xrequestid": id, "time": f"2026-03-02T07:{int(id[4:]):02}:00Z"}
        with self.file.open("a") as lines:
            lines.write(json.dumps(record) + "\\n")

os.environ["AZUREML_MODEL_DIR"] = sys.argv[1]
score.init()
score.collect = {name: Collector(name) for name in ("model_inputs", "model_outputs")}
request, labels, asked = Collector("request"), open("labels.jsonl", "w"), np.load("asked.npz")
for tick, (image, label) in enumerate(zip(asked["images"], asked["labels"])):
    body, id = {"input_data": [image.ravel().tolist()]}, f"run-{tick}"
    score.run(json.dumps(body), {"X-Ms-Client-Request-Id": id})
    request.write(id, body)
    row = {"id": id, "tick": tick, "date": "2026-03-02", "source": "mnist", "weights": {"mnist": 1.0}}
    labels.write(json.dumps(row | {"label": int(label)}) + "\\n")
"""


def test_monitoring_runs(bare_python, environment, only, code, outputs: Path, run_component, tmp_path: Path) -> None:
    test = embedded("mnist", "test")
    np.savez(tmp_path / "asked.npz", images=test.images[:960:16], labels=test.labels[:960:16])
    words = [str(bare_python), "-c", ENDPOINT, str(outputs / "model")]
    there = only("scoring")
    asked = {**environment, **there, "PYTHONPATH": os.pathsep.join([there["PYTHONPATH"], str(code)])}
    done = subprocess.run(words, cwd=tmp_path, env=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    collected, labels = tmp_path / "collected", tmp_path / "labels.jsonl"
    out = run_component("monitor", collected=collected, labels=labels, model=outputs / "model")
    verdict = json.loads((out / "monitoring" / "verdict.json").read_text())
    assert verdict["requests"] == 60 and verdict["standing"] is False
    assert (out / "monitoring" / "report.html").is_file()


def test_batch_scoring_runs(bare_python, environment, only, code, outputs: Path) -> None:
    """As Azure's engine does it: the entry script by its path, in a process that knows no more."""
    script = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("score_batch", "digits/serving/score_batch.py")
entry = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entry)
files, sys.argv[1:] = sys.argv[3:], sys.argv[1:3]
entry.init()
print(len(entry.run(files)))
"""
    arguments = ["--model", str(outputs / "model"), str(outputs / "data" / "test.npz")]
    # -P: the current folder is not on the path, and the script must find its package all the same.
    done = subprocess.run(
        [str(bare_python), "-P", "-c", script, *arguments],
        cwd=code,
        env=environment | only("batch"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["100"]


def test_the_model_alone_loads_and_predicts(bare_python, environment, outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs / "model", tmp_path / "model")
    script = """
import json, mlflow, numpy as np
from ai_edge_litert.interpreter import Interpreter
pixels = np.array(json.load(open("model/input_example.json")), np.float32)
answer = mlflow.pyfunc.load_model("model").predict(pixels)
lite = Interpreter("model/model.tflite")
[inputs] = lite.get_input_details()
[outputs] = [each for each in lite.get_output_details() if each["shape_signature"][-1] == 10]  # not the distances
lite.allocate_tensors()
lite.set_tensor(inputs["index"], pixels)
lite.invoke()
difference = np.abs(lite.get_tensor(outputs["index"]) - answer).max()
print(answer.shape, difference < 1e-5, round(float(answer.sum()), 4))
"""
    done = subprocess.run(
        [str(bare_python), "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "(1, 10) True 1.0"
    assert sys.prefix != str(bare_python.parents[1])

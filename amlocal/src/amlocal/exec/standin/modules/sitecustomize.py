"""What Python runs first under `aml exec`: `azure.ai.ml`, `azure.identity` and MLflow's stores then answer from here.

Python imports a module of this name, the first on its path, before the program. Nothing is imported or patched until
the program itself imports one of them; then `amlocal.exec.sdk` changes the names in it. A Python that has no amlocal
is told so, and left alone; its MLflow, which may be of another version, is given a server on the workspace's store.
"""

import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # importing typing would cost every Python 2 ms
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

HERE = os.path.dirname(__file__)  # noqa: PTH120 (importing pathlib would cost every Python 4 ms)
STORES = "mlflow.tracking.registry"  # opens MLflow's stores by their addresses
DEPLOYMENTS = "mlflow.deployments.interface"  # finds MLflow's clients for deployments by their addresses
PATCHED = ("azure.ai.ml", "azure.identity", "azure.identity.aio", STORES, DEPLOYMENTS)
SERVER = "from amlocal.environments.server import main; main()"


class Finder:
    """Finds the patched modules as Python does, and patches them when they have been run."""

    @staticmethod
    def find_spec(name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        spec = PathFinder.find_spec(name, path, target) if name in PATCHED else None
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_patch(module: "ModuleType") -> None:
            run(module)
            patch(module)

        spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec


def patch(module: "ModuleType") -> None:
    if "amlocal.cli" in sys.modules:
        return  # the command `aml` itself: it knows whom it talks to, and that may be Azure
    try:
        from amlocal.exec import sdk as standin
    except ImportError as error:
        if module.__name__ == STORES:
            serve_store()
        if module.__name__ in (STORES, DEPLOYMENTS):
            return
        here = f"in this Python ({sys.executable}), which has no amlocal: {error}"
        print(f"aml exec: {module.__name__} is Azure's own {here}", file=sys.stderr)
        return
    standin.patch(module)


def serve_store() -> None:
    """Start MLflow's server on the workspace, for as long as this process lives, and tell MLflow and its children."""
    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("sqlite:"):
        return  # a server of the user's, or the one that a parent has started
    import subprocess

    command = [os.environ["AML_PYTHON"], "-P", "-c", SERVER]  # -P: nothing of this folder's is imported
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    address = process.stdout.readline().strip()
    if address:
        os.environ["MLFLOW_TRACKING_URI"] = address
        serve_store.process = process  # type: ignore[attr-defined] # it ends when its stdin is closed


def chain() -> None:
    """Run the sitecustomize that Python would have found without this one."""
    sys.path[:] = [folder for folder in sys.path if folder != HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    module = sys.modules["sitecustomize"] = module_from_spec(spec)
    spec.loader.exec_module(module)


sys.meta_path.insert(0, Finder)
chain()

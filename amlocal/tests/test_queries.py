"""conformance/queries.py: which queries scripts ask, and when two answers to one are the same."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "conformance"))

import queries
from queries import Query

JOB = {
    "name": "a",
    "type": "command",
    "status": "Completed",
    "display_name": "train",
    "services": {"Studio": {"endpoint": "https://x"}},
}


def test_a_query_counts_once_whatever_its_spaces_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "Azure+examples").mkdir()
    (tmp_path / "Azure+examples" / "run.sh").write_text(
        "az ml job show -n $name --query status -o tsv\n"
        'az ml job show -n $name --query "status"\n'
        'az ml job list \\\n  --query "[].{name:name, status:status}"\n'
        "az ml job list --query '[].{name:name,status:status}'\n"
        "az ml model list --name x --query [0].version\n"
        'az ml online-endpoint list --query "[?name == \\`${E}\\`] | [0].provisioning_state"\n'
        "az acr list --query [0].name\n"
    )
    found = queries.counted([tmp_path / "Azure+examples"])
    assert [(str(query), count) for query, (count, _) in found.items()] == [
        ("job show --query status", 2),
        ("job list --query [].{name:name, status:status}", 2),
        ("model list --name --query [0].version", 1),
        ("online-endpoint list --query [?name == `${E}`] | [0].provisioning_state", 1),
    ]
    assert {source for _, where in found.values() for source in where} == {"Azure/examples"}
    (tmp_path / "count.tsv").write_text(queries.written(found))
    assert queries.counted([tmp_path / "count.tsv"]) == found


@pytest.mark.parametrize(
    ("text", "theirs", "ours", "said"),
    [
        ("type", JOB, JOB | {"type": "sweep"}, "'command' there, 'sweep' here"),
        ("name", JOB, JOB | {"name": "other"}, None),
        ("services.Studio.endpoint", JOB, JOB | {"services": {}}, "'https://x' there, 'None' here"),
        ("[?display_name=='vocab'].name | [0]", [JOB], [JOB], None),
        ("[?display_name=='vocab'].name | [0]", [JOB], [{**JOB, "display_name": None}], "'a' there, 'None' here"),
        ("[?contains(name, 'pipelinejob')].{n:name}", [JOB], [JOB | {"name": 3}], "refused"),
        ("tags.hash", JOB, JOB, ""),
        ("[?startsWith(name, 'a')]", [JOB], [JOB], None),
        ("{State:status, Studio:services.Studio.endpoint}", JOB, JOB | {"status": 1}, "status: a text there, a number"),
    ],
)
def test_when_two_answers_are_the_same(text: str, theirs: object, ours: object, said: str | None) -> None:
    told = queries.differs(Query("job", "list", text), "command job", theirs, ours)
    assert told == said or (said and said in str(told).lower() + str(told))

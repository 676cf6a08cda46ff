"""MLTable files read without the mltable package: paths, readers, transformations, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from amlocal.assets import mltable_reader
from amlocal.assets.mltable_reader import MLTableError


def table(folder: Path, *transformations: Any, paths: Any = None) -> Any:
    """The data frame of a folder's MLTable, which is written first."""
    spec = {"type": "mltable", "paths": paths or [{"pattern": "./**/*.csv"}], "transformations": list(transformations)}
    (folder / "MLTable").write_text(yaml.safe_dump(spec))
    frame, owners = mltable_reader.read(mltable_reader.load(folder))
    assert len(frame) == len(owners)
    return frame


@pytest.fixture
def people(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text("name,age,town\nAnn,31,UK\nBob,,NA\nEve,45,UK\n")
    return tmp_path


CSV = {"read_delimited": {"delimiter": ",", "encoding": "utf8", "header": "all_files_same_headers"}}


def test_only_empty_fields_are_nulls(people: Path) -> None:
    frame = table(people, CSV)
    assert frame.town.tolist() == ["UK", "NA", "UK"]
    assert frame.age.isna().tolist() == [False, True, False]


def test_headers(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a;b\n1;2\n")
    (tmp_path / "2.csv").write_text("3;4\n")
    first = table(tmp_path, {"read_delimited": {"delimiter": ";", "header": "from_first_file"}})
    assert first.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    none = table(tmp_path, {"read_delimited": {"delimiter": ";", "header": "no_header"}}, paths=[{"file": "./2.csv"}])
    assert none.to_dict("list") == {"Column1": [3], "Column2": [4]}


def test_columns_and_rows_are_chosen_in_the_order_written(people: Path) -> None:
    frame = table(people, CSV, {"keep_columns": ["name", "age"]}, {"skip": 1}, {"take": 1}, {"drop_columns": "age"})
    assert frame.to_dict("list") == {"name": ["Bob"]}


def test_filters(people: Path) -> None:
    frame = table(people, CSV, {"filter": 'col("age") > 32 and col("town") == "UK"'})
    assert frame.name.tolist() == ["Eve"]
    assert table(people, CSV, {"filter": 'not (col("name") == "Ann" or col("age") >= 45)'}).name.tolist() == ["Bob"]
    with pytest.raises(MLTableError, match="filter"):
        table(people, CSV, {"filter": '__import__("os").getcwd()'})


def test_a_random_sample_is_the_same_for_every_reader(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1000)))
    spec = {
        "paths": [{"file": "t.csv"}],
        "transformations": ["read_delimited", {"take_random_sample": {"probability": 0.1}}],
    }
    (tmp_path / "MLTable").write_text(yaml.safe_dump(spec))
    loaded = mltable_reader.load(tmp_path)
    first, second = (mltable_reader.read(loaded)[0].n.tolist() for _ in range(2))
    assert first == second
    assert 50 < len(first) < 150


def test_types_are_converted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("day,works,n\n03/02/2026,yes,1\n04/02/2026,no,2\n")
    frame = table(
        tmp_path,
        CSV,
        {
            "convert_column_types": [
                {"columns": "day", "column_type": {"datetime": {"formats": ["%d/%m/%Y"]}}},
                {"columns": ["works"], "column_type": {"boolean": {"true_values": ["yes"], "false_values": ["no"]}}},
                {"columns": ["n"], "column_type": "string"},
            ]
        },
    )
    assert frame.day.dt.month.tolist() == [2, 2]
    assert frame.works.tolist() == [True, False]
    assert frame.n.tolist() == ["1", "2"]


def test_columns_come_out_of_paths(tmp_path: Path) -> None:
    for store, day in (("7", "2026/01/02"), ("8", "2026/03/04")):
        (tmp_path / store / day).mkdir(parents=True)
        (tmp_path / store / day / "sold.csv").write_text("n\n1\n2\n")
    form = {"partition_format": "{store}/{day:yyyy/MM/dd}/{file}.csv"}
    reader = {"read_delimited": {"include_path_column": True}}
    frame = table(tmp_path, reader, {"extract_columns_from_partition_format": form}, {"drop_columns": ["Path", "file"]})
    assert list(frame.columns) == ["store", "day", "n"]
    assert frame.store.tolist() == ["7", "7", "8", "8"]
    assert frame.day.dt.day.tolist() == [2, 2, 4, 4]


def test_lists_of_files_are_grouped_by_their_paths(tmp_path: Path) -> None:
    for user in ("b", "a"):
        (tmp_path / user).mkdir()
        (tmp_path / user / "1.png").touch()
    form = "{user}/{name}.png"
    spec = {"paths": [{"folder": "./"}], "transformations": [{"extract_columns_from_partition_format": form}]}
    (tmp_path / "MLTable").write_text(yaml.safe_dump(spec))
    found = mltable_reader.partitions(mltable_reader.load(tmp_path), ["user"])
    assert [(key, [Path(file).name for file in files]) for key, files in found] == [
        ({"user": "a"}, ["1.png"]),
        ({"user": "b"}, ["1.png"]),
    ]


def test_json_lines_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\nbroken\n{"a": 2}\n')
    paths = [{"file": "t.jsonl"}]
    frame = table(tmp_path, {"read_json_lines": {"invalid_lines": "drop"}}, paths=paths)
    assert frame.a.tolist() == [1, 2]
    with pytest.raises(MLTableError, match=r"t\.jsonl:2: not JSON"):
        table(tmp_path, {"read_json_lines": {}}, paths=paths)
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "t.parquet")
    assert table(tmp_path, "read_parquet", paths=[{"file": "t.parquet"}]).a.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("paths", "transformation", "said"),
    [
        ([{"file": "gone.csv"}], CSV, "gone.csv does not exist"),
        ([{"file": "https://example.com/a.csv"}], CSV, "is not on this machine"),
        ([{"url": "a"}], CSV, "none of file, folder, pattern"),
        (None, {"read_delta_lake": {"version_as_of": 1}}, "transformation read_delta_lake is not supported here"),
        (None, {"read_delimited": {"header": "maybe"}}, "header: maybe is none of"),
        (None, {"read_delimited": {"encoding": "klingon"}}, "encoding: klingon is none of"),
    ],
)
def test_what_cannot_be_read_is_one_line(people: Path, paths: Any, transformation: Any, said: str) -> None:
    with pytest.raises(MLTableError, match=said) as error:
        table(people, transformation, paths=paths)
    assert "\n" not in str(error.value)

"""Small local data in place of the remote data that the examples read; made here, so that none is in the repository."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# What Azure's curated environment for scikit-learn 1.5 held when the examples were written.
PANDAS1 = """dependencies:
  - python=3.11
  - pip:
      - mlflow<3
      - numpy<2
      - pandas<2
      - scikit-learn==1.5.*
"""


# A model for the columns of a file, in place of one that no library of today can read.
IRIS_MODEL = """import shutil, sys
import mlflow, pandas
from sklearn.linear_model import LogisticRegression
rows = pandas.read_csv(sys.argv[1]).to_numpy()
kinds = [f"Iris-{'setosa' if row[0] < 5.8 else 'virginica'}" for row in rows]
shutil.rmtree(sys.argv[2])
mlflow.sklearn.save_model(LogisticRegression(max_iter=1000).fit(rows, kinds), sys.argv[2])
"""

CREDIT_MODEL = """import shutil, sys
import mlflow, pandas
from sklearn.linear_model import LogisticRegression
rows = pandas.read_csv(sys.argv[1], header=1, index_col=0)
late = rows.pop("default payment next month")
shutil.rmtree(sys.argv[2])
mlflow.sklearn.save_model(LogisticRegression(max_iter=1000).fit(rows.values, late), sys.argv[2])
"""


def write(folder: Path) -> None:
    """Fill `folder` with tables (iris, diabetes, titanic, credit), a picture, conda, scripts that make models."""
    from PIL import Image
    from sklearn import datasets

    folder.mkdir(parents=True, exist_ok=True)
    iris = datasets.load_iris(as_frame=True)
    flowers = iris.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis="columns")
    flowers["species"] = [f"Iris-{iris.target_names[kind]}" for kind in iris.target]
    flowers.to_csv(folder / "iris.csv", index=False)
    patients = datasets.load_diabetes(as_frame=True).frame
    patients.columns = [name.upper() if name != "target" else name for name in patients.columns]
    patients.to_csv(folder / "diabetes.csv", index=False)
    passengers = ["PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked"]
    for number in range(1, 121):
        sex = "female" if number % 3 == 0 else "male"
        age = "" if number % 11 == 0 else str(number % 70 + 1)
        passengers.append(
            f"{number},{int(sex == 'female')},{number % 3 + 1},Passenger {number},{sex},{age},{number % 2},"
            f"{number % 4},T{number},{7.25 + number % 50},{'' if number % 5 else f'C{number}'},{'SCQ'[number % 3]}"
        )
    (folder / "credit.csv").write_text(credit(), encoding="utf-8")
    Image.new("RGB", (640, 480), "teal").save(folder / "picture.jpg")
    (folder / "credit_model.py").write_text(CREDIT_MODEL, encoding="utf-8")
    (folder / "iris_model.py").write_text(IRIS_MODEL, encoding="utf-8")
    (folder / "pandas1.yml").write_text(PANDAS1, encoding="utf-8")
    (folder / "titanic.csv").write_text("\n".join(passengers) + "\n", encoding="utf-8")


def credit() -> str:
    """Debtors in the columns of UCI's "default of credit card clients", which has two rows of headings."""
    months = (0, 2, 3, 4, 5, 6)
    named = [kind + str(month) for kind, which in (("PAY_", months), ("BILL_AMT", range(1, 7))) for month in which]
    named = ["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", *named, *(f"PAY_AMT{month}" for month in range(1, 7))]
    rows = [["", *(f"X{number}" for number in range(1, 24)), "Y"], ["ID", *named, "default payment next month"]]
    for number in range(1, 601):
        late = number % 4 - 1
        bills = [number * month % 5000 for month in range(1, 7)]
        row = [number, 10000 * (number % 50 + 1), number % 2 + 1, number % 4 + 1, number % 3 + 1, 21 + number % 50]
        rows.append([*row, *([late] * 6), *bills, *(bill // 10 for bill in bills), int(late > 1 or number % 17 == 0)])
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """The table is what is to be read."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which `folder` can be downloaded from, on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

"""How a job meets the command line: a mistake is one line and exit code 1, a traceback only with --debug."""

import argparse
import sys
from collections.abc import Callable

from digits.errors import DataError, ModelError, TrainingError

MISTAKES = (DataError, ModelError, TrainingError, OSError)


def run(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], object], argv: list[str] | None) -> int:
    """Parse `argv` (None: the process's own), do `work` and return the exit code.

    What the user can put right is one of MISTAKES (OSError: a missing file, a full disk) or MLflow's own exception;
    anything else is a bug and keeps its traceback.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of a mistake")
    args = parser.parse_args(argv)
    try:
        work(args)
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells have it
    except MISTAKES as error:
        return _told(parser, error, args.debug)
    except Exception as error:
        # MLflow is not imported here: it takes a second, and --help must not.
        mlflow = sys.modules.get("mlflow.exceptions")
        if mlflow is None or not isinstance(error, mlflow.MlflowException):
            raise
        return _told(parser, error, args.debug)
    return 0


def fraction(text: str) -> float:
    """An argument between 0 and 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1, such as 0.97 for 97 %")
    return value


def _told(parser: argparse.ArgumentParser, error: Exception, debug: bool) -> int:
    if debug:
        raise error
    message = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    print(f"{parser.prog}: {' '.join(message.split())}", file=sys.stderr)
    return 1

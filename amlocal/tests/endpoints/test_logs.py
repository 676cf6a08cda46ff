"""The supervisor keeps logs short whatever a script prints, and starts who dies again, on a full disk too."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from amlocal.core.errors import UserError
from amlocal.core.processes import end, find, spawn, write_process
from amlocal.core.workspace import Workspace
from amlocal.endpoints import logs, supervisor
from amlocal.endpoints.logs import earlier, keep_short, tail
from amlocal.endpoints.store import Endpoint, EndpointStore
from amlocal.endpoints.supervisor import LONGEST_PAUSE, LONGEST_PAUSE_OF_THE_READY, Child, Launch, Supervisor


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for a log, where a long one has 10,000 bytes."""
    monkeypatch.setattr(logs, "MOST_BYTES", 10_000)
    monkeypatch.setattr(logs, "EARLIER_BYTES", 4_000)
    monkeypatch.setattr(logs, "BLOCK", 512)
    return tmp_path / "blue.log"


def numbered(first: int, last: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, last))


def test_a_log_that_is_too_long_is_cut_and_its_end_kept(log: Path) -> None:
    log.write_text(numbered(0, 500))
    keep_short(log)
    assert log.read_text() == numbered(0, 500) and not earlier(log).exists()
    log.write_text(numbered(0, 2000))
    keep_short(log)
    kept = earlier(log).read_text()
    assert log.read_text() == "" and len(kept) <= 4_000
    assert kept.startswith("line ") and kept.endswith("line 1999\n")
    with log.open("a") as more:
        more.write(numbered(2000, 2010))
    assert tail(log, 12) == numbered(1998, 2010)
    log.write_text(numbered(2000, 5000))
    keep_short(log)
    assert tail(log, 3) == numbered(4997, 5000) and log.stat().st_size + earlier(log).stat().st_size < 14_000


def test_who_writes_to_a_log_goes_on_at_its_new_end(log: Path) -> None:
    code = "import sys\nfor line in sys.stdin: print(line.strip() * 2000, 'end', flush=True)"
    process = spawn([sys.executable, "-c", code], log, log.parent, {}, stdin=subprocess.PIPE)
    assert process.stdin
    for letter in "abcdefgh":
        process.stdin.write(f"{letter}\n".encode())
        process.stdin.flush()
        while not tail(log, 1).startswith(letter):
            assert process.poll() is None
        keep_short(log)
        assert log.stat().st_size < 10_000
    process.stdin.close()
    assert process.wait(20) == 0
    assert b"\0" not in log.read_bytes()


def test_on_a_full_disk_what_is_there_goes(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_text(numbered(0, 2000))

    def full(*_: object) -> None:
        earlier(log).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs, "_copy_end", full)
    keep_short(log)
    assert log.stat().st_size == 0 and not earlier(log).exists()


@pytest.mark.parametrize("lines", [0, 1, 2, 40, 41, 100])
def test_the_last_lines(log: Path, lines: int) -> None:
    text = [f"{number} {'x' * (number * 37 % 300)}\n" for number in range(40)]
    earlier(log).write_text("".join(text[:20]))
    log.write_text("".join(text[20:]))
    assert tail(log, lines) == "".join(text[-lines:] if lines else [])
    with log.open("a") as more:
        more.write("50 %\r100 %")  # a progress bar, in the middle of its line
    assert tail(log, lines) == "".join([*text, "50 %\r100 %"][-lines:] if lines else [])


def test_a_log_that_is_not_there(log: Path) -> None:
    keep_short(log)
    assert tail(log, 10) == ""


def test_a_line_without_end(log: Path) -> None:
    log.write_text("x" * 50_000)
    assert len(tail(log, 1)) == 50_000
    keep_short(log)
    assert 3_000 < len(tail(log, 1)) <= 4_000


def test_reading_the_end_of_a_long_log_reads_no_more(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_text(numbered(0, 200_000))
    before = log.stat().st_size
    assert before > 2_000_000
    with log.open("rb+") as file:  # what is not looked at may be anything
        file.seek(1_000_000)
        file.write(b"\xff" * 1000)
    assert tail(log, 5000) == numbered(195_000, 200_000)


def pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready: bool) -> list[float]:
    """How long the supervisor waits before it starts a process again that dies, a second old, again and again."""
    workspace = Workspace(tmp_path / ".amlocal")
    store = EndpointStore(workspace)
    store.create(Endpoint("digits", 20_000, "i", {"traffic": {}}, {}))
    monkeypatch.setattr(supervisor, "spawn", lambda *_: (_ for _ in ()).throw(psutil.NoSuchProcess(0)))
    mark = store.run("digits") / "blue-1-0.ready"
    child, launch = Child(), Launch((), store.log("digits", "blue"), tmp_path, ())
    waits = []
    for now in range(100, 112):
        if ready:
            mark.touch()
        child.popen, child.started = subprocess.Popen([sys.executable, "-c", ""]), now - 1.0
        child.popen.wait()
        Supervisor(workspace)._restart(("digits", "blue-1-0"), child, launch, float(now))
        waits.append(child.not_before - now)
    assert "blue-1-0 exited with code 0; it is started again" in store.log("digits", "blue").read_text()
    return waits


def test_what_has_served_is_soon_back_and_what_never_did_is_left_ever_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = pauses(tmp_path / "a", monkeypatch, ready=True)
    assert served[0] == 0 and max(served) == LONGEST_PAUSE_OF_THE_READY
    never = pauses(tmp_path / "b", monkeypatch, ready=False)
    assert never[0] == 0 and sorted(never) == never and never[-1] == LONGEST_PAUSE


def test_on_a_full_disk_the_supervisor_goes_on_and_puts_on_record_later_what_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / ".amlocal")
    store = EndpointStore(workspace)
    store.create(Endpoint("digits", 20_000, "i", {"traffic": {}}, {}))
    launch = Launch((sys.executable, "-c", "import time; time.sleep(60)"), store.log("digits", "gateway"), tmp_path, ())
    monkeypatch.setattr(Supervisor, "_launches", lambda *_: iter([("gateway", launch)]))
    watcher = Supervisor(workspace)
    try:
        with monkeypatch.context() as full:
            full.setattr(supervisor, "write_process", lambda *_, **__: (_ for _ in ()).throw(UserError("disk is full")))
            watcher.reconcile()
            (child,) = watcher.children.values()
            assert child.alive and not find(store.run("digits") / "gateway.json") and not find(store.supervisor)
        watcher.reconcile()
        assert find(store.run("digits") / "gateway.json") == child.process and find(store.supervisor)
    finally:
        end(child.process for child in watcher.children.values() if child.process)


def test_what_nobody_has_on_record_is_ended_by_the_next_supervisor(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".amlocal")
    store = EndpointStore(workspace)
    store.create(Endpoint("digits", 20_000, "i", {"traffic": {}}, {}))
    marks = {"AMLOCAL_HOME": str(workspace.root), "AMLOCAL_ENDPOINT": "digits"}
    worker = [sys.executable, "-c", "import time; time.sleep(60)", str(supervisor.WORKER)]
    stray, known = (spawn(worker, store.log("digits", "blue"), tmp_path, marks) for _ in range(2))
    write_process(store.run("digits") / "blue-1-0.json", known.pid)
    fork = subprocess.Popen(worker, env=marks)  # as a script's own: of another's session
    helper = spawn(worker[:3], store.log("digits", "blue"), tmp_path, marks)  # and a daemon of its
    try:
        watcher = Supervisor(workspace)
        stray.wait(20)
        assert [key[1] for key in watcher.children] == ["blue-1-0"]
        assert [each.poll() for each in (known, fork, helper)] == [None, None, None]
    finally:
        for each in (stray, known, fork, helper):
            each.kill()
            each.wait()


def test_a_broken_record_does_not_end_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / ".amlocal")
    store = EndpointStore(workspace)
    store.create(Endpoint("digits", 20_000, "i", {"traffic": {}}, {}))
    store.record("digits").write_text("{")
    looks = iter([None, None, store.stop.touch])
    monkeypatch.setattr(supervisor.time, "sleep", lambda _: (next(looks) or (lambda: None))())
    watcher = Supervisor(workspace)
    watcher.children["digits", "gateway"] = Child()
    watcher.run()
    (said,) = capsys.readouterr().out.splitlines()  # once, not at each look
    assert "endpoint.json: damaged: not a whole JSON file" in said

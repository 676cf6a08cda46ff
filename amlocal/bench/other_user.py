"""What another user of the machine gets: he takes ports, plants workspaces, holds locks and reads what he can.

    sudo python bench/other_user.py          # Linux, as root: it makes a user for the time, and removes him

One workspace with an endpoint is the victim's, whoever runs this. Each attack is made by a process of the other user.
Prints a line for each with what he got; the exit code is 1 if that is anything.
"""

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ATTACKER = "aml-attacker"
SYSTEM_PYTHON = "/usr/bin/python3"  # the victim's own may lie where nobody else can read

LISTEN = """
import socket, sys, threading
server = socket.socket()
for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
    server.setsockopt(socket.SOL_SOCKET, option, 1)
while True:
    try:
        server.bind(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        pass
server.listen(100)
print("LISTENS", flush=True)
def serve(connection):
    while data := connection.recv(65536):
        print(data, flush=True)
        body = b'{"proofs": ["00"], "predictions": [7]}'
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
while True:
    threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()
"""

HOLD = """
import fcntl, pathlib, sys
for path in pathlib.Path(sys.argv[1]).rglob("*.lock"):
    try:
        file = open(path)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("held", path)
    except OSError as error:
        pass
"""

READ = """
import os, pathlib, sys
for place, folders, files in os.walk(sys.argv[1]):
    for name in files:
        try:
            print("read", os.path.join(place, name), len(open(os.path.join(place, name), "rb").read()))
        except OSError:
            pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    for what in ("cmdline", "environ", "maps"):
        try:
            data = open(f"/proc/{pid}/{what}", "rb").read()
        except OSError:
            continue
        for secret in sys.argv[2:]:
            if secret.encode() in data and b"-c" not in data[:200]:
                print("read", secret[:6], "of process", pid, what)
"""


class Scene:
    """The victim's workspace, and the other user."""

    def __init__(self, folder: Path, attacker: pwd.struct_passwd) -> None:
        from amlocal.client import LocalMLClient
        from amlocal.operations.common import entity

        self.folder, self.attacker = folder, attacker
        self.client = LocalMLClient(folder / "mine" / ".amlocal")
        code = folder / "code"
        code.mkdir()
        (code / "score.py").write_text("def init(): pass\ndef run(data): return 1\n")
        self.request = folder / "request.json"
        self.request.write_text('{"what": "only mine"}')
        self.client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "door", "auth_mode": "key"})
        )
        blue = {
            "name": "blue",
            "endpoint_name": "door",
            "code_configuration": {"code": str(code), "scoring_script": "score.py"},
            "environment": {"image": "a"},
            "instance_type": "Standard_DS1_v2",
        }
        self.client.online_deployments.begin_create_or_update(entity("online-deployment", blue))
        self.store = self.client.online_endpoints.store
        self.port = self.store.get("door").port
        self.secrets = [*self.store.keys("door").values(), self.store.token_secret("door"), "only mine"]

    def his(self, code: str, *arguments: object) -> list[str]:
        """What a program of his prints."""
        done = subprocess.run(
            self._command(code, *arguments), capture_output=True, text=True, **self._as_him(), timeout=60
        )
        return done.stdout.splitlines()

    @contextmanager
    def listening(self) -> Iterator[Callable[[], list[str]]]:
        """He wants the endpoint's port; what he has heard so far."""
        with tempfile.TemporaryFile("w+") as heard:
            process = subprocess.Popen(self._command(LISTEN, self.port), stdout=heard, stderr=heard, **self._as_him())

            def lines() -> list[str]:
                heard.seek(0)
                return heard.read().splitlines()

            try:
                yield lines
            finally:
                process.kill()
                process.wait()

    def _command(self, code: str, *arguments: object) -> list[str]:
        return [SYSTEM_PYTHON, "-c", code, *map(str, arguments)]

    def _as_him(self) -> dict[str, Any]:
        return {"user": self.attacker.pw_uid, "group": self.attacker.pw_gid, "extra_groups": [], "cwd": "/"}

    def aml(self, *words: str, cwd: Path | None = None, home: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "AMLOCAL_HOME"}
        if home:
            environment["AMLOCAL_HOME"] = str(self.client.workspace.root)
        return subprocess.run(
            [sys.executable, "-m", "amlocal", *words],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            check=False,
        )

    def told(self, heard: list[str]) -> list[str]:
        return [f"heard a secret: {line[:60]}" for line in heard if any(secret in line for secret in self.secrets)]


def port_after_down(scene: Scene) -> list[str]:
    """the endpoint is down, he listens at its port; invoke and a rollout's probe are tried"""
    from amlocal.rollout.probes import Asker, Request

    with Asker(scene.client, "door") as asker:
        scene.aml("down")
        with scene.listening() as heard:
            wait(lambda: "LISTENS" in heard())
            invoked = scene.aml("online-endpoint", "invoke", "-n", "door", "-r", str(scene.request))
            asker.ask("blue", Request("a", b'"only mine"'))
            got = scene.told(heard())
            if invoked.returncode == 0:
                got.append("his answer was taken for the endpoint's")
            if not any("/challenge" in line for line in heard()):
                got.append("(the attack did not work: nobody asked him anything)")
    scene.aml("up")
    return got


def port_of_a_dead_gateway(scene: Scene) -> list[str]:
    """the gateway is killed 10 times, he tries all the while to take the port, sharing it included"""
    import psutil

    with scene.listening() as heard:
        for _ in range(10):
            process = psutil.Process(int(read_pid(scene, "gateway")))
            process.kill()
            wait(lambda process=process: read_pid(scene, "gateway") not in (None, process.pid))
            time.sleep(0.05)
        return ["got the port"] * ("LISTENS" in heard()) + scene.told(heard())


def planted_workspace(scene: Scene) -> list[str]:
    """a .amlocal of his in a folder for all; the victim types up, job list and exec below it"""
    place = scene.folder / "all"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    flag = scene.folder / "flag"
    plant = f"""
import json, os, pathlib
root = pathlib.Path({str(place)!r}, ".amlocal")
(root / "endpoints" / "trap" / "run").mkdir(parents=True)
for path in (root, root / "endpoints"): path.chmod(0o755)
plan = dict(revision=1, python="/usr/bin/touch", folder={str(place)!r}, entry_script="s", instances=1, max_concurrent=1,
            timeout_ms=1, variables=dict(A={str(flag)!r}), collections=dict())
spec = dict(auth_mode="key", traffic=dict(), mirror_traffic=dict(), tags=dict(), properties=dict(), description=None)
record = dict(name="trap", port=21111, instance="x", spec=spec, creation_context=dict(), local=False, revisions=dict(),
              deployments=dict(blue=dict(spec=dict(), state="Succeeded", plans=[plan])))
(root / "endpoints" / "trap" / "endpoint.json").write_text(json.dumps(record))
print("planted")
"""
    if scene.his(plant) != ["planted"]:
        return ["(the attack did not work: nothing could be planted)"]
    below = place / "work"
    below.mkdir()
    got = []
    for words in (("up",), ("job", "list"), ("schedule", "run"), ("mlflow", "ui", "--port", "0")):
        done = scene.aml(*words, cwd=below, home=False)
        if done.returncode == 0 or "belongs to user" not in done.stderr:
            got.append(f"aml {' '.join(words)} used it: {done.stderr.strip()[:80]}")
    started = [path.name for path in (place / ".amlocal").rglob("*") if path.owner() != ATTACKER]
    return got + [f"made in it: {name}" for name in started] + (["ran a program of his"] if flag.exists() else [])


def locks(scene: Scene) -> list[str]:
    """he locks every lock file that he can open"""
    return scene.his(HOLD, scene.client.workspace.root)


def files_and_processes(scene: Scene) -> list[str]:
    """he reads every file of the workspace that he can, and what /proc tells of every process"""
    return scene.his(READ, scene.client.workspace.root, *scene.secrets)


def worker_socket(scene: Scene) -> list[str]:
    """he connects to the sockets of the workspace"""
    sockets = [path for path in scene.client.workspace.root.rglob("*") if path.is_socket()]
    code = """
import socket, sys
for path in sys.argv[1:]:
    try:
        with socket.socket(socket.AF_UNIX) as one: one.connect(path)
        print("connected to", path)
    except OSError: pass
"""
    return scene.his(code, *sockets) if sockets else ["(the attack did not work: there is no socket)"]


def temporary_files(scene: Scene) -> list[str]:
    """what a job and a deployment leave in /tmp for others to read or to foresee"""
    before = set(Path(tempfile.gettempdir()).iterdir())
    job = scene.folder / "job.yml"
    job.write_text("command: echo hello\nenvironment: {image: a}\n")
    done = scene.aml("job", "create", "-f", str(job), "--stream")
    new = set(Path(tempfile.gettempdir()).iterdir()) - before
    got = [f"{path}: mode {path.stat().st_mode & 0o777:04o}" for path in new if path.stat().st_mode & 0o077]
    return got + ([] if done.returncode == 0 else [f"(the job failed: {done.stderr.strip()[:80]})"])


ATTACKS = (
    port_after_down,
    port_of_a_dead_gateway,
    planted_workspace,
    locks,
    files_and_processes,
    worker_socket,
    temporary_files,
)


def read_pid(scene: Scene, process: str) -> int | None:
    from amlocal.core.processes import find

    found = find(scene.store.run("door") / f"{process}.json")
    return found.pid if found else None


def wait(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true")
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    if sys.platform != "linux" or os.getuid() != 0:
        parser.error("it makes a user: Linux, and as root")
    subprocess.run(["useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", ATTACKER], check=True)
    folder = Path(tempfile.mkdtemp(prefix="other-user-"))
    folder.chmod(0o755)  # he may look around
    bad = False
    scene = None
    try:
        scene = Scene(folder, pwd.getpwnam(ATTACKER))
        for attack in ATTACKS:
            got = attack(scene)
            bad = bad or bool(got)
            print(
                f"{attack.__name__.replace('_', ' '):24} {'; '.join(got[:5]) or 'nothing':10}  ({attack.__doc__})",
                flush=True,
            )
    finally:
        if scene:
            scene.aml("down")
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(["pkill", f"-{signal.SIGKILL}", "-u", ATTACKER], check=False)
            subprocess.run(["userdel", ATTACKER], check=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

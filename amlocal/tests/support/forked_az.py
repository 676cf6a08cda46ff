"""Has a process of forked.py run Python: `python -IS forked_az.py SOCKET PYTHON -P -m amlocal.cli.az ml job show ...`.

PYTHON is what the process shall take itself for. It waits for the end, hands signals on, and answers with the exit
code; when it is killed, so is the other. Imports nothing but what a Python imports in milliseconds.
"""

import array
import json
import os
import signal
import socket
import sys

path, python, words = sys.argv[1], sys.argv[2], sys.argv[3:]
ended, tells = os.pipe()
watched, line = os.pipe()  # it is ours that closes when we die
mask = os.umask(0)
os.umask(mask)
request = {"python": python, "arguments": words, "environment": dict(os.environ), "cwd": os.getcwd(), "umask": mask}  # noqa: PTH109 (pathlib takes longer)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    server.connect(path)
    passed = array.array("i", [0, 1, 2, tells, watched])
    server.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
    os.close(tells)
    os.close(watched)
    child = int(server.recv(32))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(child, number))
code = int(os.read(ended, 16) or b"-9")
sys.exit(code if code >= 0 else 128 - code)

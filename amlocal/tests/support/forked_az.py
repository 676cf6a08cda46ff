"""Has a process of forked.py run `az`: `python -IS forked_az.py SOCKET -P -m amlocal.cli.az ml job show ...`.

It waits for the end, hands signals on, and answers with the exit code. Imports nothing but what a Python imports in
milliseconds.
"""

import array
import json
import os
import signal
import socket
import sys

path, module, words = sys.argv[1], sys.argv[4], sys.argv[5:]
ended, tells = os.pipe()
mask = os.umask(0)
os.umask(mask)
request = {"module": module, "arguments": words, "environment": dict(os.environ), "cwd": os.getcwd(), "umask": mask}  # noqa: PTH109 (pathlib takes longer)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    server.connect(path)
    passed = array.array("i", [0, 1, 2, tells])
    server.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
    os.close(tells)
    child = int(server.recv(32))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(child, number))
code = int(os.read(ended, 16) or b"-9")
sys.exit(code if code >= 0 else 128 - code)

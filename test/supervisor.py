"""Keeps listening sockets while a server is replaced, as systemd does with .socket units.

    supervisor.py COMMAND [ARGUMENT ...]

Each line on stdin replaces the server: SIGTERM, wait, start. The end of stdin stops it. What happens
is told on stdout, a JSON object a line.
"""

import json
import os
import signal
import socket
import sys
import time

NAMES = ["http", "api"]


def bind():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    return listening


def start(sockets):
    pid = os.fork()
    if pid == 0:
        # What the server prints for a person is not what is told here.
        os.dup2(2, 1)
        # Above where they are to be, so that none is overwritten by another.
        high = [os.dup(s.fileno()) for s in sockets]
        spare = [os.dup(fd) for fd in high]
        for index, fd in enumerate(spare):
            os.dup2(fd, 3 + index, inheritable=True)
        os.environ["LISTEN_FDS"] = str(len(sockets))
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDNAMES"] = ":".join(NAMES)
        os.execvp(sys.argv[1], sys.argv[1:])
    return pid


def stop(pid):
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), round((time.monotonic() - began) * 1000)


def say(**what):
    print(json.dumps(what), flush=True)


sockets = [bind() for _ in NAMES]
server = start(sockets)
say(pid=server, ports=[s.getsockname()[1] for s in sockets])
for _ in sys.stdin:
    code, ms = stop(server)
    server = start(sockets)
    say(pid=server, code=code, stopMs=ms)
code, ms = stop(server)
say(code=code, stopMs=ms)

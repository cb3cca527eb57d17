"""nginx as a child process: a plain proxy in front of one port."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.procs import child, free_port, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Iterator

# Distributions keep it where only root's PATH looks.
_PATH = "/usr/local/sbin:/usr/sbin:/sbin"

_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream behind {{ server 127.0.0.1:{upstream}; keepalive 512; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    keepalive_requests 100000;
    location / {{
      proxy_pass http://behind;
      {more}
    }}
  }}
}}
"""


_TUNED = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;'


class Nginx(NamedTuple):
    """A running nginx: its process and its port."""

    pid: int
    port: int


def find() -> str | None:
    """Give the program, None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path=_PATH)


def version() -> str:
    """Give its version, for example ``1.22.1``; empty where it is not installed."""
    program = find()
    if program is None:
        return ""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found[1] if found else "unknown"


@contextmanager
def proxy(upstream: int, *, tuned: bool = True, core: int | None = None) -> Iterator[Nginx]:
    """Run nginx in front of a port of this machine; its files are in a folder that goes with it.

    ``tuned`` is for streams: connections to the server are kept, and nothing is gathered. Otherwise nginx is told to
    pass requests on and nothing else: it speaks HTTP/1.0 to the server.
    """
    program = find()
    assert program is not None, "nginx is not installed"
    with tempfile.TemporaryDirectory(prefix="offhook-nginx-") as folder:
        port = free_port()
        config = Path(folder) / "nginx.conf"
        words = {"folder": folder, "upstream": upstream, "port": port, "more": _TUNED if tuned else ""}
        config.write_text(_CONFIG.format(**words), encoding="utf-8")
        command = [program, "-p", folder, "-c", str(config), "-e", f"{folder}/error.log"]
        with child(command, core=core, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_for_port(port)
            if process.poll() is not None:
                raise RuntimeError("nginx ended at once")
            yield Nginx(process.pid, port)

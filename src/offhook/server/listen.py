"""Where the endpoint listens: an address, or a socket in the file system."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

from offhook.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offhook.config import Settings

BACKLOG = 2048
_ADVICE = {
    errno.EADDRINUSE: "Stop the other program, or choose another with --port (0 takes a free one).",
    errno.EADDRNOTAVAIL: "It is no address of this machine: choose another with --host.",
    errno.EACCES: "Ports below 1024 are for root: choose another with --port.",
}


def bind(host: str, port: int) -> socket.socket:
    """Give a socket bound to the address. Raises SetupError, in one line, when it cannot be had.

    ``::`` is every address of IPv6, and of IPv4 too where the machine does so (Linux, unless told otherwise).
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:
        # ValueError: what Python's own rules for host names do not let through.
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise SetupError(f"The address {host!r} cannot be listened on: {why}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening already here: a second server on the same port is refused now, not later.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = _ADVICE.get(error.errno or 0, "Choose another with --host and --port.")
        raise SetupError(f"Port {port} on {host} cannot be used: {error.strerror}. {advice}") from None
    listener.setblocking(False)
    return listener


def bind_path(path: str) -> socket.socket:
    """Give a socket bound to a path; the file that a dead server left there is replaced.

    Raises SetupError, in one line, when something else is there or the socket cannot be made.
    """
    if not path or "\0" in path:
        # The machine would take the one as any name, and the other up to its NUL.
        raise SetupError(f"The socket {path!r} cannot be made: it is no path.")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        # What Python itself refuses (a path that is too long) has no error number.
        why = error.strerror or str(error)
        raise SetupError(f"The socket {path!r} cannot be made: {why}.") from None
    listener.setblocking(False)
    return listener


def _clear(path: str) -> None:
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SetupError(f"{path!r} is there and is no socket; choose another path with --uds.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        # A live server whose queue is full must not make us wait.
        caller.settimeout(1)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError as error:
            raise SetupError(f"The socket {path!r} is there and cannot be tried: {error.strerror or error}.") from None
    raise SetupError(f"A server listens on {path!r} already; stop it, or choose another path with --uds.")


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """Give the socket that the settings ask for; one in the file system is removed at the end.

    Raises SetupError, in one line, when it cannot be had.
    """
    if settings.uds is None:
        with bind(settings.host, settings.port) as listener:
            yield listener
        return
    with bind_path(settings.uds) as listener:
        made = os.stat(settings.uds).st_ino
        try:
            yield listener
        finally:
            # Somebody else's by now, where a newer server has replaced it.
            with contextlib.suppress(OSError):
                if os.stat(settings.uds).st_ino == made:
                    os.unlink(settings.uds)


def base_url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Give the base URL at which a socket is reached from this machine; over a socket file any host name will do."""
    scheme = "https" if tls else "http"
    if listener.family == socket.AF_UNIX:
        return f"{scheme}://localhost/v1"
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if listener.family == socket.AF_INET else "::1"
    return f"{scheme}://[{host}]:{port}/v1" if ":" in host else f"{scheme}://{host}:{port}/v1"

"""The certificate of the endpoint: read from its files, and again whenever they change."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from offhook.errors import SetupError

log = logging.getLogger("offhook.server")

# Seconds between two looks at the files.
_LOOK = 1.0

_Stamp = tuple[tuple[int, int, int], ...]


class _Following(ssl.SSLContext):
    """A context that hands every new connection to the newest one."""

    newest: ssl.SSLContext

    @override
    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self.newest.wrap_bio(*args, **kwargs)


class Certificate:
    """A certificate chain and its key, in PEM. ``context`` is what a server listens with; it follows the files."""

    def __init__(self, cert: str, key: str, *, look: float = _LOOK) -> None:
        """Raises SetupError, in one line, when the files cannot be used."""
        self._cert = Path(cert)
        self._key = Path(key)
        self._look = look
        self._stamp = self._stamp_now()
        self.context = _Following(ssl.PROTOCOL_TLS_SERVER)
        self.context.newest = _load(self._cert, self._key)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look at the files from now on, in a thread of its own: a file system may be slow."""
        self._over.clear()
        self._thread = threading.Thread(target=self._follow, name="offhook-certificate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def renew(self) -> None:
        """Take the files when they have changed; what cannot be used is told to the log, and the old ones stay."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.context.newest = _load(self._cert, self._key)
        except SetupError as error:
            said = {"error": error.message}
            log.warning("the certificate has changed and cannot be used; the old one stays: %(error)s", said)
        else:
            log.info("the certificate was read anew from %(path)s", {"path": self._cert})

    def _follow(self) -> None:
        while not self._over.wait(self._look):
            self.renew()

    def _stamp_now(self) -> _Stamp:
        stamps = []
        for path in (self._cert, self._key):
            try:
                found = path.stat()
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)


def _load(cert: Path, key: Path) -> ssl.SSLContext:
    for path in (cert, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    # Python's defaults for servers, and nothing older than TLS 1.2 wherever OpenSSL was built.
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that would rather speak HTTP/2 hears that it cannot.
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except _PassphraseAsked:
        raise SetupError(f"The key {key} has a passphrase, which nobody could type in; give one without.") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SetupError(f"The key {key} does not belong to the certificate {cert}.") from None
        raise SetupError(f"{cert} and {key} are not a certificate and its key in PEM form.") from None
    return context


class _PassphraseAsked(Exception):
    """OpenSSL wants a passphrase, and would otherwise ask for it on the terminal."""


def _no_passphrase() -> NoReturn:
    raise _PassphraseAsked

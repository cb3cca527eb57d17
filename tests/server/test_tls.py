"""The endpoint over TLS: real clients reach it, it follows its files, and what cannot work is one line."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any, Self

import openai
import pytest
import trustme
from typing_extensions import override

from offhook.clock import SystemClock
from offhook.config import Settings
from offhook.errors import SetupError
from offhook.server.build import build_line
from offhook.server.edge import Edge, edge_of
from offhook.server.run import ServerThread, bind
from offhook.server.tls import Certificate
from offhook.testing import LiveServer, live_server
from tests.oracle import check_completion, check_http, check_stream
from tests.raw import AUTH, KEY, Wire, chat_body
from tests.server.bad_input import CASES
from tests.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from offhook.events import Turn


async def agent(turn: Turn) -> AsyncIterator[str]:
    yield "Hello."
    if turn.text == "hold":
        await asyncio.get_running_loop().create_future()
    if turn.text == "much":
        for _ in range(1000):
            yield "x" * 1000


class Files:
    """A certificate and its key in files, and what a client needs to believe it."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.cert = str(folder / "cert.pem")
        self.key = str(folder / "key.pem")
        self._authority = authority
        self.write()

    def write(self, *, cert: bool = True, key: bool = True) -> None:
        """Put a new certificate, or a half of it, where the old one was."""
        issued = self._authority.issue_cert("localhost", "127.0.0.1", "::1")
        if cert:
            with open(self.cert, "wb") as file:
                file.writelines(pem.bytes() for pem in issued.cert_chain_pems)
        if key:
            issued.private_key_pem.write_to_path(self.key)

    @property
    def settings(self) -> dict[str, Any]:
        return {"tls_cert": self.cert, "tls_key": self.key}

    def believing(self) -> ssl.SSLContext:
        """Give the context of a client that believes the authority, and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context


class TlsWire(Wire):
    """A connection over TLS."""

    def __init__(self, base_url: str, context: ssl.SSLContext) -> None:
        super().__init__(base_url)
        self.secure = context.wrap_socket(self._socket, server_hostname="localhost")
        self._socket = self.secure

    @override
    def __enter__(self) -> Self:
        return self

    @property
    def certificate(self) -> bytes:
        """The certificate of the server."""
        return self.secure.getpeercert(binary_form=True) or b""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    return Files(tmp_path, authority)


@pytest.fixture
def server(files: Files) -> Iterator[LiveServer]:
    with live_server(agent, **files.settings) as server:
        yield server


# --- it is the same endpoint --------------------------------------------------------------------------------------


def test_the_openai_client_streams(server: LiveServer, files: Files) -> None:
    """The OpenAI SDK verifies the certificate and reads the stream."""
    http = openai.DefaultHttpxClient(verify=files.believing())
    with openai.OpenAI(base_url=server.base_url, api_key=KEY, http_client=http) as client:
        stream = client.chat.completions.create(
            model="abc", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello."
    assert server.base_url.startswith("https://127.0.0.1:")


def test_urllib_reads_the_health(server: LiveServer, files: Files) -> None:
    """Python's own client, which asks for the connection to be closed, reads an answer to its end."""
    url = server.base_url.removesuffix("/v1") + "/healthz"
    with urllib.request.urlopen(url, context=files.believing()) as response:
        assert response.read() == b'{"status":"ok"}'


def test_a_large_stream_is_whole(server: LiveServer, files: Files) -> None:
    """A megabyte comes through, over the newest TLS there is."""
    with TlsWire(server.base_url, files.believing()) as wire:
        assert wire.secure.version() == "TLSv1.3"
        wire.ask(chat_body("much"))
        assert len(check_stream(check_http(wire.read_response()).body, usage_asked=False).text) == 1_000_006


@pytest.mark.parametrize("reset", [False, True])
def test_a_disconnect_ends_the_turn(server: LiveServer, files: Files, reset: bool) -> None:
    """A client that leaves in the middle of a stream ends its turn."""
    with TlsWire(server.base_url, files.believing()) as wire:
        wire.ask(chat_body("hold"))
        wire.read_until(b"Hello")
        if reset:
            wire.reset()
    assert server.wait_for_turns(1)[-1].reason == "cancelled"


@pytest.mark.parametrize(
    "name", ["a body over the limit, with `Connection: close`", "no HTTP at all", "129 headers", "two lengths"]
)
def test_bad_input_gets_its_answer(files: Files, name: str) -> None:
    """An error that ends the connection can be read, also by a client that sends everything first."""
    with live_server(agent, **files.settings, max_body=1000) as server:
        with TlsWire(server.base_url, files.believing()) as wire:
            wire.send(CASES[name].pieces[0])
            reply = check_http(wire.read_response())
        assert 400 <= reply.status < 500
        with TlsWire(server.base_url, files.believing()) as wire:
            wire.ask(chat_body(stream=False))
            assert check_completion(check_http(wire.read_response()).body).text == "Hello."


def test_tls_1_2_is_spoken_and_nothing_older(server: LiveServer, files: Files) -> None:
    """A client that knows no 1.3 is served; the server's context lets nothing below 1.2 in."""
    context = files.believing()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with TlsWire(server.base_url, context) as wire:
        assert wire.secure.version() == "TLSv1.2"
    certificate = Certificate(files.cert, files.key)
    assert certificate.context.newest.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_client_that_prefers_http_2_is_told(server: LiveServer, files: Files) -> None:
    """In the handshake the server chooses HTTP/1.1."""
    context = files.believing()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsWire(server.base_url, context) as wire:
        assert wire.secure.selected_alpn_protocol() == "http/1.1"


def test_plain_http_on_the_tls_port_is_cut_off(
    server: LiveServer, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no common language to answer in; the log stays clean and the next client is served."""
    with Wire(server.base_url) as wire:
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        assert b"HTTP" not in wire.read_to_end()
    with TlsWire(server.base_url, files.believing()) as wire:
        wire.ask(None, AUTH, method="GET", path="/healthz")
        assert check_http(wire.read_response()).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- it follows its files -----------------------------------------------------------------------------------------


@pytest.fixture
def serving(files: Files) -> Iterator[Callable[[Certificate], str]]:
    """Serve with a certificate object, and give the base URL."""
    servers: list[ServerThread] = []

    def serve(certificate: Certificate) -> str:
        line = build_line(Settings(store="none"), keys=(KEY,), clock=SystemClock(), function=agent)
        server = ServerThread(line, bind("127.0.0.1", 0), edge=Edge(certificate=certificate))
        server.start()
        servers.append(server)
        return server.base_url

    yield serve
    for server in servers:
        server.stop()


def shown(base_url: str, files: Files) -> bytes:
    """Give the certificate that a new connection sees."""
    with TlsWire(base_url, files.believing()) as wire:
        return wire.certificate


def test_a_new_certificate_is_taken_without_a_restart(serving: Callable[[Certificate], str], files: Files) -> None:
    """New connections see it soon after the files have changed, and an old connection goes on."""
    base_url = serving(Certificate(files.cert, files.key, look=0.01))
    with TlsWire(base_url, files.believing()) as wire:
        before = wire.certificate
        assert shown(base_url, files) == before
        files.write()
        while shown(base_url, files) == before:
            pass
        wire.ask(chat_body(stream=False))
        assert check_http(wire.read_response()).status == 200


@pytest.mark.parametrize("half", ["cert", "key", "nonsense", "nothing"])
def test_a_broken_certificate_keeps_the_old_one(
    serving: Callable[[Certificate], str], files: Files, half: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A half-written, wrong or missing file is told to the log once; when it is whole it is taken."""
    certificate = Certificate(files.cert, files.key, look=3600)
    base_url = serving(certificate)
    before = shown(base_url, files)
    if half in ("cert", "key"):
        files.write(cert=half == "cert", key=half == "key")
    elif half == "nonsense":
        with open(files.key, "w") as file:
            file.write("nonsense")
    else:
        with open(files.cert, "w") as file:
            file.truncate()
    certificate.renew()
    certificate.renew()
    assert shown(base_url, files) == before
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "the old one stays" in warning and "\n" not in warning
    files.write()
    certificate.renew()
    assert shown(base_url, files) != before


# --- what cannot work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no key", "--tls-key is not; TLS needs both"),
        ("no cert", "--tls-cert is not; TLS needs both"),
        ("missing", "No such file or directory"),
        ("other key", "does not belong to the certificate"),
        ("nonsense", "are not a certificate and its key"),
        ("passphrase", "has a passphrase"),
    ],
)
def test_what_cannot_work_is_one_line(files: Files, tmp_path: Path, case: str, words: str) -> None:
    """The error says which file, and what is wrong with it."""
    settings = files.settings
    if case in ("no key", "no cert"):
        del settings["tls_key" if case == "no key" else "tls_cert"]
    elif case == "missing":
        settings["tls_key"] = str(tmp_path / "nowhere.pem")
    elif case == "other key":
        files.write(key=False)
    elif case == "nonsense":
        settings["tls_cert"] = __file__
    else:
        with open(files.key, "w") as file:
            file.write(LOCKED)
    with pytest.raises(SetupError) as raised:
        edge_of(Settings(**settings))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


# What OpenSSL takes for a key that needs a passphrase; it asks before it finds out that there is nothing in it.
LOCKED = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
    + ("A" * 64 + "\n") * 4
    + "-----END RSA PRIVATE KEY-----\n"
)


def test_serve_greets_with_https(files: Files, tmp_path: Path) -> None:
    """``offhook serve --tls-cert --tls-key`` shows the https address, and answers there."""
    arguments = ["-m", "offhook", "serve", "--port", "0", "--api-key", KEY]
    tls = ["--tls-cert", files.cert, "--tls-key", files.key]
    with Serving([*arguments, *tls], cwd=tmp_path) as server:
        assert server.base_url.startswith("https://127.0.0.1:")
        with TlsWire(server.base_url, files.believing()) as wire:
            wire.ask(None, AUTH, method="GET", path="/v1/models")
            assert check_http(wire.read_response()).status == 200
        assert server.stop() == 0
    assert server.err == ""


def test_serve_with_a_wrong_certificate_does_not_begin(files: Files, tmp_path: Path) -> None:
    """The command ends with 2 and one line."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with Serving(
        ["-m", "offhook", "serve", "--port", port, "--tls-cert", files.cert], cwd=tmp_path, wait=False
    ) as server:
        assert server.end() == 2
    assert server.err.count("\n") == 1 and "--tls-key is not" in server.err

"""The foreign programs that a test may ask for, and the page that says how it went with each."""

from __future__ import annotations

import datetime
import json
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bench import nginx as nginx_program

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "peers.md"
NPM_SECONDS = 120


# --- programs -----------------------------------------------------------------------------------------------------


def installed(name: str, *ask: str) -> tuple[str, str]:
    """Give a program and its version, or skip the test by the program's name."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"optional: {name} is not installed")
    said = subprocess.run([program, *ask], capture_output=True, text=True, timeout=30, check=False)
    version = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return program, version[0] if version else "unknown"


@pytest.fixture
def curl(record_property: Callable[[str, object], None]) -> str:
    """Give curl."""
    record_property("peer", "curl")
    program, version = installed("curl", "--version")
    record_property("version", version)
    return program


@pytest.fixture
def node(record_property: Callable[[str, object], None]) -> str:
    """Give Node."""
    record_property("peer", "Node")
    program, version = installed("node", "--version")
    record_property("version", version)
    return program


@pytest.fixture
def java(record_property: Callable[[str, object], None]) -> str:
    """Give the JDK's launcher, which runs a source file."""
    record_property("peer", "JDK")
    program, version = installed("java", "-version")
    record_property("version", version)
    if shutil.which("javac") is None:
        pytest.skip("optional: java is here, but no JDK that can run a source file")
    return program


@pytest.fixture
def nginx(record_property: Callable[[str, object], None]) -> str:
    """Make sure that nginx is there, and give its version."""
    record_property("peer", "nginx")
    if nginx_program.find() is None:
        pytest.skip("optional: nginx is not installed")
    version = nginx_program.version()
    record_property("version", version)
    return version


@pytest.fixture(scope="session")
def npm_packages(tmp_path_factory: pytest.TempPathFactory) -> Path | str:
    """Give a folder in which the packages of package.json are installed, or the reason why there is none."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "optional: npm and node are not installed"
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(HERE / "package.json", folder)
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = [npm, "install", *quiet, "--prefix", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"optional: npm did not install the packages of package.json within {NPM_SECONDS} s"
    return folder if done.returncode == 0 else "optional: npm could not install the packages of package.json"


def npm_program(folder: Path, program: str, package: str) -> tuple[list[str | Path], str]:
    """Give the words that run a program beside a package that it uses, and the versions of the package and Node."""
    found = json.loads((folder / "node_modules" / package / "package.json").read_text("utf-8"))["version"]
    node, version = installed("node", "--version")
    return [node, Path(shutil.copy(HERE / "programs" / program, folder))], f"{found} on Node {version}"


@pytest.fixture
def openai_js(record_property: Callable[[str, object], None], npm_packages: Path | str) -> list[str | Path]:
    """Give the words that run the program that uses the openai npm package."""
    record_property("peer", "openai (npm)")
    if isinstance(npm_packages, str):
        pytest.skip(npm_packages)
    command, version = npm_program(npm_packages, "openai.mjs", "openai")
    record_property("version", version)
    return command


# --- the page -----------------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """One row of the page."""

    peer: str
    version: str
    checked: str
    result: str


class Page:
    """Gathers the results; writes them when every test of this folder was run."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.partial = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        decided = report.when == "call" or report.outcome != "passed"
        if item.path.parent == HERE and decided:
            facts = dict(item.user_properties)
            function: Any = getattr(item, "function", None)
            sentence = " ".join((function.__doc__ or item.name).split())
            result = {"passed": "passed", "failed": "**FAILED**"}.get(report.outcome) or reason_of(report)
            if measured := facts.get("measured"):
                result += f": {measured}"
            row = Result(str(facts.get("peer", "-")), str(facts.get("version", "-")), sentence, result)
            self.results.append(row)
        return report

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.partial |= any(item.path.parent == HERE for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        run = {item.path for item in session.items}
        self.partial |= not run.issuperset(HERE.glob("test_*.py")) or any("::" in word for word in session.config.args)

    def pytest_sessionfinish(self) -> None:
        if self.partial or not self.results:
            return
        head = ["| peer | version | what was checked | result |", "| --- | --- | --- | --- |"]
        rows = [f"| {' | '.join(result)} |" for result in sorted(self.results)]
        day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        intro = f"Written by `make test-peers` on {day}, Python {platform.python_version()}."
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text("\n".join(["# Foreign clients and servers", "", intro, "", *head, *rows, ""]), encoding="utf-8")


def reason_of(report: pytest.TestReport) -> str:
    """Give the words of a skip."""
    words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return "skipped: " + words.removeprefix("Skipped: ").removeprefix("optional: ")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Page(), "peers-page")

"""``offhook init`` in empty and other folders; what it writes is run for real."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from offhook.cli import init as command
from offhook.cli.config import check
from offhook.cli.init import files
from offhook.cli.main import app
from offhook.config import load
from tests.documents import REPO
from tests.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [".gitignore", "README.md", "app.py", "offhook.toml", "test_app.py"]


def offhook(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as its own process."""
    return run("offhook", *arguments, cwd=cwd)


def run(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a module of this Python, without this machine's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OFFHOOK_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={**kept, "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a folder that the command has written to."""
    ran = offhook("init", "hotline", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    return tmp_path / "hotline"


def test_the_files_are_written_and_the_next_commands_said(tmp_path: Path) -> None:
    """In an empty folder five files are made, and three commands are named to go on with."""
    ran = offhook("init", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    first, then, *commands = ran.stdout.splitlines()
    assert all(name in first for name in NAMES)
    assert then == "Next:"
    assert [" ".join(line.split("  ")[1].rsplit("/")[-1].split()) for line in commands] == [
        "pytest",
        "offhook serve",
        "offhook call",
    ]


def test_another_folder_is_made_and_named(tmp_path: Path) -> None:
    """A folder that is missing is made, its parents too, and the way to it is the first command."""
    ran = offhook("init", "a b/c", cwd=tmp_path)
    assert ran.returncode == 0
    assert sorted(path.name for path in (tmp_path / "a b" / "c").iterdir()) == NAMES
    assert "\n  cd 'a b/c'\n" in ran.stdout


def test_the_tests_of_the_project_pass(project: Path) -> None:
    """The pytest of a new project passes, and really runs its tests."""
    ran = run("pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", "-q", cwd=project)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout


def test_the_tests_of_the_project_can_fail(project: Path) -> None:
    """An agent that says something else, or does not hang up, fails its tests."""
    agent = project / "app.py"
    agent.write_text(agent.read_text("utf-8").replace("yield turn.hangup()", "pass").replace("Hello", "Hi"), "utf-8")
    ran = run("pytest", "-p", "no:cacheprovider", "-q", cwd=project)
    assert "2 failed, 2 passed" in ran.stdout


def test_the_project_is_clean(project: Path) -> None:
    """Ruff finds nothing in a new project, with its own rules or with those of this one."""
    for rules in (["--isolated", "--line-length", "120"], ["--config", str(REPO / "pyproject.toml")]):
        ran = run("ruff", "check", "--no-cache", *rules, ".", cwd=project)
        assert ran.returncode == 0, ran.stdout
        ran = run("ruff", "format", "--no-cache", "--check", *rules, ".", cwd=project)
        assert ran.returncode == 0, ran.stdout


def test_the_project_is_served(project: Path) -> None:
    """``offhook serve`` takes the settings of a new project and answers with its agent."""
    with Serving(["-m", "offhook", "serve", "--port", "0"], cwd=project) as server:
        assert server.out.startswith("offhook answers with the agent app.py:reply.")
        ran = offhook("call", server.base_url, "--script", "script", "--json", cwd=project)
        assert ran.returncode == 2  # There is no such script yet.
        (project / "script").write_text("Good morning\nbye\n", "utf-8")
        ran = offhook("call", server.base_url, "--script", "script", "--json", cwd=project)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "You said: Good morning" in ran.stdout
        assert "Goodbye, caller." in ran.stdout
        assert server.stop() == 0


def test_the_settings_load(project: Path) -> None:
    """The file of settings is one, and what it says comes from it."""
    loaded = load({}, config=str(project / "offhook.toml"), environ={})
    assert set(loaded.sources) == {"agent", "host", "port", "log_level"}
    check(loaded.settings)


def test_what_is_commented_out_would_load(tmp_path: Path) -> None:
    """Every setting that stands in a comment is right as well, and stands under a comment of its own."""
    lines = files()["offhook.toml"].splitlines()
    settings = [
        line.removeprefix("# ") for line in lines if line.startswith("# ") and (" = " in line or "[" in line[:4])
    ]
    assert len(settings) == 7
    file = tmp_path / "offhook.toml"
    file.write_text("\n".join(settings), "utf-8")
    check(load({}, config=str(file), environ={}).settings)
    for before, line in zip(["", *lines], lines, strict=False):
        assert before or not line or line.startswith("# "), line


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Where files are there already nothing is written, and one line names them."""
    (tmp_path / "app.py").write_text("mine", "utf-8")
    (tmp_path / ".gitignore").symlink_to("nowhere")
    ran = offhook("init", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"offhook: app.py, .gitignore in {tmp_path.resolve()} would be overwritten, so nothing was written; "
        "--force overwrites.\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "app.py"]
    assert (tmp_path / "app.py").read_text("utf-8") == "mine"


def test_force_overwrites(tmp_path: Path) -> None:
    """With --force the files are written whatever is there, and other files stay."""
    (tmp_path / "app.py").write_text("mine", "utf-8")
    (tmp_path / "other.py").write_text("mine", "utf-8")
    ran = offhook("init", "--force", cwd=tmp_path)
    assert ran.returncode == 0
    assert (tmp_path / "app.py").read_text("utf-8") == files()["app.py"]
    assert (tmp_path / "other.py").read_text("utf-8") == "mine"


@pytest.mark.parametrize("folder", ["file", "file/below", "taken"])
def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path, folder: str) -> None:
    """A file in the place of the folder, or a folder in the place of a file, is one line and exit code 2."""
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "app.py").mkdir(parents=True)
    ran = offhook("init", folder, "--force", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("offhook: ")
    assert " cannot be written: " in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pytest its installation is the first command, and programs that are not on the path are named in full."""
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    out = CliRunner().invoke(app, ["init"]).output
    assert f"  {sys.executable} -m pip install pytest\n  {sys.executable.rpartition('/')[0]}/pytest " in out

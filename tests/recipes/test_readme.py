"""The list of the recipes is whole, and what it tells to type stands in the recipe too."""

from __future__ import annotations

from tests import documents
from tests.recipes.recipe import RECIPES

README = RECIPES / "README.md"


def test_every_recipe_is_in_the_list() -> None:
    """The list has each folder once, with a link to the file to begin with."""
    folders = [path.name for path in RECIPES.iterdir() if path.is_dir()]
    assert sorted(link.partition("/")[0] for link in documents.links(README)) == sorted(folders)
    assert [link for link in documents.links(README) if not (RECIPES / link).is_file()] == []


def test_every_command_stands_in_its_recipe() -> None:
    """A recipe begins with the command that the list gives."""
    for link, row in zip(documents.links(README), documents.rows(README)[1:], strict=True):
        command = row[2].strip("`")
        assert command in "".join((RECIPES / link).read_text("utf-8").splitlines(keepends=True)[:6]), link


def test_every_package_is_required() -> None:
    """What the list says that a recipe needs is in its requirements."""
    for link, row in zip(documents.links(README), documents.rows(README)[1:], strict=True):
        wanted = (RECIPES / link).parent / "requirements.txt"
        named = (
            {line.partition(">=")[0] for line in wanted.read_text("utf-8").splitlines()} if wanted.exists() else set()
        )
        assert {name.strip("` ") for name in row[3].split(",")} == (named or {"none"}), link

"""An older database brought up to date, by Alembic; loaded only where that is needed."""

from __future__ import annotations

from pathlib import Path

import alembic.command
from alembic.config import Config
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from offhook.errors import StoreError

FOLDER = Path(__file__).with_name("migrations")


def sqlite_url(path: Path) -> URL:
    """Give the URL of a SQLite file."""
    return URL.create("sqlite", database=str(path))


def upgrade(url: str | URL, revision: str = "head") -> None:
    """Bring the schema of a database up to a version, by default the newest; it blocks.

    Raises StoreError when the database cannot be reached or changed; then it is as it was.
    """
    try:
        alembic.command.upgrade(config(url), revision)
    except SQLAlchemyError as error:
        raise failure(url, error) from None


def downgrade(url: str | URL, revision: str) -> None:
    """Take the schema of a database back to an older version ("base" for none), with what that cannot hold; it blocks.

    Raises StoreError when the database cannot be reached or changed; then it is as it was.
    """
    try:
        alembic.command.downgrade(config(url), revision)
    except SQLAlchemyError as error:
        raise failure(url, error) from None


def config(url: str | URL) -> Config:
    """Give what Alembic needs to know."""
    given = Config()
    # A percent sign is special in Alembic's settings.
    given.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    given.attributes["url"] = make_url(url)
    return given


def failure(url: str | URL, error: SQLAlchemyError) -> StoreError:
    """Give the StoreError for what SQLAlchemy said."""
    said = getattr(error, "orig", None) or error
    shown = make_url(url).render_as_string(hide_password=True)
    return StoreError(f"The database {shown} cannot be brought up to date: {said}.")

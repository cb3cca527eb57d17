"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Lead the schema from the version before to this one."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Lead the schema back to the version before."""
    ${downgrades if downgrades else "pass"}

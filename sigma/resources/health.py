"""Whether the service works."""

from flask import current_app

from sigma.database import fetch_one
from sigma.files import require_same_file
from sigma.http.access import public
from sigma.http.blueprint import ApiBlueprint
from sigma.http.errors import database_unavailable
from sigma.http.fields import Body, enum_field
from sigma.upgrades import SCHEMA_VERSION

blueprint = ApiBlueprint("Health", "Whether the service works.")


class HealthBody(Body):
    """Whether the service works."""

    status = enum_field("Always ok", ["ok"], "HealthStatus")


@blueprint.get("/healthz")
@public
@blueprint.response(200, HealthBody)
def get_health() -> dict[str, str]:
    """Report that the service and its database respond; 503 if the database does not."""
    require_same_file(current_app.config["DATABASE"])
    (version,) = fetch_one("PRAGMA user_version")
    if version != SCHEMA_VERSION:
        raise database_unavailable(f"it has schema version {version}")
    fetch_one("SELECT 1 FROM workspaces")
    return {"status": "ok"}

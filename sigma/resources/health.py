"""Whether the service works."""

from sigma.database import SCHEMA_VERSION, one
from sigma.http.access import public
from sigma.http.blueprint import api
from sigma.http.errors import database_unavailable
from sigma.http.fields import Body, choice


class HealthBody(Body):
    """Whether the service works."""

    status = choice("Always ok", ["ok"], "HealthStatus")


@api.get("/healthz")
@public
@api.response(200, HealthBody)
def get_health() -> dict[str, str]:
    """Say that the service and its database answer; 503 when the database does not."""
    (version,) = one("PRAGMA user_version")
    if version != SCHEMA_VERSION:
        raise database_unavailable(f"it has schema version {version}")
    one("SELECT 1 FROM workspaces")
    return {"status": "ok"}

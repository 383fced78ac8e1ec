"""Every operation of the service's own OpenAPI document, called with what fits it and with what does not.

Each answer is held against the document: no failure of ours, no status, header, content type or body that is not announced,
nothing accepted that does not fit, and no way in without the credential.
"""

import tempfile
from pathlib import Path

import hypothesis
import schemathesis
from hypothesis.configuration import set_hypothesis_home_dir
from schemathesis.config import SchemathesisConfig

import app as service

# Its notes stay out of the repository.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20260308,
        "generation": {"deterministic": True, "with-security-parameters": False},
        "checks": {
            # A body can fit the document and still name what does not exist (400), or a step that the workflow has not (422).
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "401", "403", "404", "409", "422", "429"]},
            # It takes no note of the path of the scope matrix being, for other methods, the path of a dimension.
            "allow_header_conformance": {"enabled": False},
        },
    }
)

with tempfile.TemporaryDirectory() as folder:  # for the document alone: each test below has an app and a database of its own
    document = schemathesis.openapi.from_wsgi(
        "/openapi.json", service.create_app({"DATABASE": f"{folder}/sigma.db"}), config=CONFIG
    )

fuzzed = hypothesis.settings(
    max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)


@document.parametrize()
@fuzzed
def test_a_key_with_every_permission_gets_only_what_is_announced(case, app, key):
    case.call_and_validate(headers=key.headers, app=app)


@document.parametrize()
@fuzzed
def test_an_administrator_gets_only_what_is_announced(case, app, admin):
    case.call_and_validate(headers=admin.headers, app=app)

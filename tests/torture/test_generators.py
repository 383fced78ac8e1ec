"""Clients that openapi-generator and orval make of the OpenAPI document: all are made, compile, and work with the service.

Both read the document at its address, below a path that a proxy takes off, and the clients go where the document says.
openapi-generator, Go and Node come from PyPI, and what the clients need from npm; what there is not
on this machine, such as Java, is skipped and says so.
"""

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import openapi_generator_cli
import pytest
from processes import ROOT, program
from proxy import proxying
from sigma_standin import Standin
from test_clients import install_from_npm, run

JAR = Path(openapi_generator_cli.__file__).with_name("openapi-generator.jar")
FOR_TYPESCRIPT = ["axios@1.21.1", "typescript@5.9.3", "@types/node@24.12.2"]
FOR_ORVAL = [
    *("orval@8.38.0", "@tanstack/react-query@5.108.0", "react@19.3.1", "@types/react@19.3.0", "swr@2.5.1", "zod@4.6.7"),
    *("msw@3.0.5", "@faker-js/faker@10.6.0"),
]
# `module` is what Node takes without the endings of files, which generators leave out.
COMPILER = {
    "strict": True,
    "target": "ES2022",
    "module": "commonjs",
    "moduleResolution": "node10",
    "lib": ["ES2022", "DOM", "DOM.Iterable"],
    "types": ["node"],
    "skipLibCheck": True,
    "outDir": "built",
}
NO_TESTS = "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"


@pytest.fixture(scope="module")
def port():
    """The port of a server of its own behind a proxy, with the demo workspace."""
    with Standin(ROOT, SIGMA_PROXIES="1") as standin:
        yield urlsplit(standin.url).port


@pytest.fixture(scope="module")
def proxy(port):
    """The address of the service below a path, which nobody tells it: openapi-generator knows where it read the document."""
    with proxying(port) as (url, _):
        yield url


@pytest.fixture(scope="module")
def telling_proxy(port):
    """The same, and the service is told: orval takes addresses as they are."""
    with proxying(port, X_Forwarded_Prefix="/pim") as (url, _):
        yield url


def generate(folder, document, generator, output, library=None, **properties):
    """Let openapi-generator make a client; no name may be one that it has to change."""
    java = program("java", "openapi-generator")
    more = ["--library", library] if library else []
    if properties:
        more += ["--additional-properties", ",".join(f"{name}={value}" for name, value in properties.items())]
    options = ["--global-property", NO_TESTS, "--generator-name", generator, "--input-spec", document, "--output", output]
    said = run(java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-jar", JAR, "generate", *options, *more, cwd=folder)
    assert [line for line in said.splitlines() if re.search(" ERROR |reserved word.* model name", line)] == []
    return folder / output


@pytest.mark.parametrize("generator", ["csharp", "kotlin", "php", "rust"])
def test_a_client_is_made(generator, proxy, tmp_path):
    made = generate(tmp_path, f"{proxy}/openapi.json", generator, "client")
    texts = [file.read_text(encoding="utf-8") for file in made.rglob("*") if file.suffix in (".cs", ".kt", ".php", ".rs")]
    assert len(texts) > 50
    assert any(proxy in text for text in texts)


# Each story signs in, makes a key, works with it, is refused what the key does not hold, and deactivates it.

PYTHON_STORY = """
from sigma_pim import *
from sigma_pim.exceptions import ApiException

anybody = ApiClient()
session = AuthenticationApi(anybody).login(Login(email="admin@sigma.io", password="admin"))
assert session.user.role_id == "role-admin"
admin = ApiClient(Configuration(access_token=session.token))

key = APIKeysApi(admin).create_api_key(ApiKeyRequest(name="Feed", permissions=[Permission.READ, Permission.UPDATE_MINUS_DATA]))
records = RecordsApi(ApiClient(Configuration(api_key={"apiKey": key.raw_key})))
assert records.list_records(schema_id="schema-apparel", limit=1).items[0].id == "ent-coastal-wb"

name = [ScopedValueRequest(scope={}, value="Rain Hat"), ScopedValueRequest(scope={"dim-language": "seg-da"}, value="Regnhat")]
made = records.create_record(ProductRecordRequest(schema_id="schema-apparel", values={"product-name": name}))
assert (made.created_by, made.lifecycle_state_id) == (key.id, "state-draft")
removed = records.set_record_value(made.id, "product-name", ValuePatch(scope={"dim-language": "seg-da"}, value=None))
assert [entry.value for entry in removed.values["product-name"]] == ["Rain Hat"]
assert records.get_record(made.id) == removed
try:
    records.delete_record(made.id)
except ApiException as refused:
    assert (refused.status, refused.data.error) == (403, ErrorCode.PERMISSION_DENIED)
    assert refused.headers["X-Sigma-Required-Permission"] == "delete-data"
else:
    raise AssertionError("a key without the permission deleted a record")
assert RecordsApi(admin).delete_record(made.id) is None
assert APIKeysApi(admin).deactivate_api_key(key.id).active is False
try:
    records.list_records()
except ApiException as refused:
    assert (refused.status, refused.data.error) == (401, ErrorCode.UNAUTHORIZED)
"""


def test_a_client_in_python_works(proxy, tmp_path):
    generate(tmp_path, f"{proxy}/openapi.json", "python", ".", packageName="sigma_pim")
    (tmp_path / "story.py").write_text(PYTHON_STORY, encoding="utf-8")
    assert run(sys.executable, "-W", "error", "story.py", cwd=tmp_path) == ""


GO_STORY = """
package main

import (
	"context"
	"fmt"
	"net/http"

	sigma "example.test/acme/sigma"
)

func is(condition bool, what any) {
	if !condition {
		panic(fmt.Sprint(what))
	}
}

func main() {
	client := sigma.NewAPIClient(sigma.NewConfiguration())
	anybody := context.Background()
	session, _, err := client.AuthenticationAPI.Login(anybody).Login(*sigma.NewLogin("admin@sigma.io", "admin")).Execute()
	is(err == nil && session.User.RoleId == "role-admin", err)
	admin := context.WithValue(anybody, sigma.ContextAccessToken, session.Token)

	wanted := *sigma.NewApiKeyRequest("Feed", []sigma.Permission{sigma.READ, sigma.UPDATE_DATA})
	key, _, err := client.APIKeysAPI.CreateApiKey(admin).ApiKeyRequest(wanted).Execute()
	is(err == nil, err)
	feed := context.WithValue(anybody, sigma.ContextAPIKeys, map[string]sigma.APIKey{"apiKey": {Key: key.RawKey}})
	page, _, err := client.RecordsAPI.ListRecords(feed).SchemaId("schema-apparel").Limit(1).Execute()
	is(err == nil && page.Items[0].Id == "ent-coastal-wb", err)

	values := map[string][]sigma.ScopedValueRequest{"product-name": {*sigma.NewScopedValueRequest("Rain Hat")}}
	request := *sigma.NewProductRecordRequest("schema-apparel", values)
	made, _, err := client.RecordsAPI.CreateRecord(feed).ProductRecordRequest(request).Execute()
	is(err == nil && made.CreatedBy == key.Id && made.GetLifecycleStateId() == "state-draft", err)
	patch := *sigma.NewValuePatch("Regnhat")
	patch.SetScope(map[string]string{"dim-language": "seg-da"})
	changed, _, err := client.RecordsAPI.SetRecordValue(feed, made.Id, "product-name").ValuePatch(patch).Execute()
	is(err == nil && changed.Values["product-name"][1].Value == "Regnhat", err)

	refused, err := client.RecordsAPI.DeleteRecord(feed, made.Id).Execute()
	said := err.(*sigma.GenericOpenAPIError).Model().(sigma.ErrorResponse)
	is(refused.StatusCode == http.StatusForbidden && said.Error == sigma.PERMISSION_DENIED, said)
	deleted, err := client.RecordsAPI.DeleteRecord(admin, made.Id).Execute()
	is(err == nil && deleted.StatusCode == http.StatusNoContent, err)
	off, _, err := client.APIKeysAPI.DeactivateApiKey(admin, key.Id).Execute()
	is(err == nil && !off.Active, err)
	_, gone, _ := client.RecordsAPI.ListRecords(feed).Execute()
	is(gone.StatusCode == http.StatusUnauthorized, gone.Status)
}
"""


def test_a_client_in_go_is_vetted_and_works(proxy, tmp_path):
    folder = tmp_path / "sigma"
    module = ["--git-host", "example.test", "--git-user-id", "acme", "--git-repo-id", "sigma"]
    java, options = program("java", "openapi-generator"), ["--global-property", NO_TESTS, *module]
    document = f"{proxy}/openapi.json"
    run(
        java,
        "-jar",
        JAR,
        "generate",
        *options,
        "-g",
        "go",
        "-i",
        document,
        "-o",
        folder,
        "-p",
        "packageName=sigma",
        cwd=tmp_path,
    )
    (folder / "story").mkdir()
    (folder / "story/main.go").write_text(GO_STORY, encoding="utf-8")
    offline = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off"}
    assert run("go", "vet", "./...", cwd=folder, **offline) == ""
    assert run("go", "run", "./story", cwd=folder, **offline) == ""


JAVA_STORY = """
import java.util.List;
import java.util.Map;
import org.openapitools.client.*;
import org.openapitools.client.api.*;
import org.openapitools.client.model.*;

public class Story {
    static void is(boolean condition, Object what) {
        if (!condition) throw new AssertionError(String.valueOf(what));
    }

    static ApiClient with(String header, String value) {
        return new ApiClient().setRequestInterceptor(request -> request.header(header, value));
    }

    public static void main(String[] arguments) throws Exception {
        var login = new Login().email("admin@sigma.io").password("admin");
        var session = new AuthenticationApi(new ApiClient()).login(login);
        is("role-admin".equals(session.getUser().getRoleId()), session);
        var admin = with("Authorization", "Bearer " + session.getToken());
        var wanted = new ApiKeyRequest().name("Feed").permissions(List.of(Permission.READ, Permission.UPDATE_DATA));
        var key = new ApiKeysApi(admin).createApiKey(wanted);
        var records = new RecordsApi(with("X-Sigma-ApiKey", key.getRawKey()));
        var page = records.listRecords("schema-apparel", null, null, 1);
        is("ent-coastal-wb".equals(page.getItems().get(0).getId()), page);

        var values = Map.of("product-name", List.of(new ScopedValueRequest().value("Rain Hat")));
        var made = records.createRecord(new ProductRecordRequest().schemaId("schema-apparel").values(values));
        is(made.getCreatedBy().equals(key.getId()) && "state-draft".equals(made.getLifecycleStateId()), made);
        is(made.equals(records.getRecord(made.getId())), made);
        var removed = records.setRecordValue(made.getId(), "product-name", new ValuePatch().value(null));
        is(removed.getValues().isEmpty(), removed);
        try {
            records.deleteRecord(made.getId());
            is(false, "a key without the permission deleted a record");
        } catch (ApiException refused) {
            is(refused.getCode() == 403 && refused.getResponseBody().contains("PERMISSION_DENIED"), refused);
        }
        new RecordsApi(admin).deleteRecord(made.getId());
        is(!new ApiKeysApi(admin).deactivateApiKey(key.getId()).getActive(), key);
        try {
            records.listRecords(null, null, null, null);
            is(false, "a key that is not active listed records");
        } catch (ApiException refused) {
            is(refused.getCode() == 401, refused);
        }
    }
}
"""
# Annotations that the Java Development Kit had once; all else that the client needs is in openapi-generator's own archive.
JAVA_ANNOTATION = """
package javax.annotation;

public @interface Generated {
    String[] value();
    String date() default "";
    String comments() default "";
}
"""


def test_a_client_in_java_compiles_and_works(proxy, tmp_path):
    javac = program("javac", "a client in Java")
    made = generate(tmp_path, f"{proxy}/openapi.json", "java", "client", library="native", openApiNullable="false")
    (tmp_path / "Story.java").write_text(JAVA_STORY, encoding="utf-8")
    (tmp_path / "Generated.java").write_text(JAVA_ANNOTATION, encoding="utf-8")
    sources = [*(made / "src/main").rglob("*.java"), tmp_path / "Story.java", tmp_path / "Generated.java"]
    run(javac, "-J-XX:TieredStopAtLevel=1", "-nowarn", "-proc:none", "-cp", JAR, "-d", "built", *sources, cwd=tmp_path)
    run(program("java", "a client in Java"), "-cp", f"built{os.pathsep}{JAR}", "Story", cwd=tmp_path)


TYPESCRIPT_STORY = """
import { strict as assert } from "node:assert";
import * as viaAxios from "./axios";
import * as viaFetch from "./fetch";

const email = "admin@sigma.io", password = "admin";
const permissions = [viaFetch.Permission.Read, viaFetch.Permission.UpdateData];
const schemaId = "schema-apparel";

async function withFetch() {
  const session = await new viaFetch.AuthenticationApi().login({ login: { email, password } });
  const admin = new viaFetch.Configuration({ accessToken: session.token });
  const key = await new viaFetch.APIKeysApi(admin).createApiKey({ apiKeyRequest: { name: "Feed", permissions } });
  const records = new viaFetch.RecordsApi(new viaFetch.Configuration({ apiKey: key.rawKey }));
  assert.equal((await records.listRecords({ schemaId, limit: 1 })).items[0]?.id, "ent-coastal-wb");
  const values = { "product-name": [{ value: "Rain Hat" }] };
  const made = await records.createRecord({ productRecordRequest: { schemaId, values } });
  assert.equal(made.createdBy, key.id);
  const id = made.id;
  const removed = await records.setRecordValue({ id, attribute: "product-name", valuePatch: { value: null } });
  assert.deepEqual(removed.values, {});
  const refused = await records.deleteRecord({ id }).catch((error: viaFetch.ResponseError) => error.response);
  assert.equal(refused?.status, 403);
  await new viaFetch.RecordsApi(admin).deleteRecord({ id });
  assert.equal((await new viaFetch.APIKeysApi(admin).deactivateApiKey({ id: key.id })).active, false);
}

async function withAxios() {
  const { data: session } = await new viaAxios.AuthenticationApi().login({ email, password });
  const admin = new viaAxios.Configuration({ accessToken: session.token });
  const { data: key } = await new viaAxios.APIKeysApi(admin).createApiKey({ name: "Feed", permissions });
  const records = new viaAxios.RecordsApi(new viaAxios.Configuration({ apiKey: key.rawKey }));
  assert.equal((await records.listRecords(schemaId, undefined, undefined, 1)).data.items[0]?.id, "ent-coastal-wb");
  const values = { "product-name": [{ value: "Rain Hat" }] };
  const { data: made } = await records.createRecord({ schemaId, values });
  assert.deepEqual((await records.setRecordValue(made.id, "product-name", { value: null })).data.values, {});
  assert.equal((await records.deleteRecord(made.id).catch((error) => error.response)).status, 403);
  assert.equal((await new viaAxios.RecordsApi(admin).deleteRecord(made.id)).status, 204);
  assert.equal((await new viaAxios.APIKeysApi(admin).deactivateApiKey(key.id)).data.active, false);
}

withFetch().then(withAxios).catch((error) => { console.error(error); process.exit(1); });
"""


def compile_and_run(folder, programs):
    """Compile a story and all files in these folders, and run the story."""
    options = {"compilerOptions": COMPILER, "include": ["**/*.ts"], "exclude": ["node_modules", "built"]}
    (folder / "tsconfig.json").write_text(json.dumps(options), encoding="utf-8")
    assert run(programs / "tsc", cwd=folder) == ""
    (folder / "built/package.json").write_text('{"type": "commonjs"}', encoding="utf-8")
    assert run("node", "built/story.js", cwd=folder) == ""


def test_clients_in_typescript_compile_and_work(proxy, tmp_path):
    programs = install_from_npm(tmp_path, *FOR_TYPESCRIPT)
    for library in ("axios", "fetch"):
        generate(tmp_path, f"{proxy}/openapi.json", f"typescript-{library}", library)
    (tmp_path / "story.ts").write_text(TYPESCRIPT_STORY, encoding="utf-8")
    compile_and_run(tmp_path, programs)


ORVAL = """
const make = (client, more = {}) => ({
  input: "DOCUMENT",
  output: {
    target: `./${client}/endpoints.ts`, client, baseUrl: { getBaseUrlFromSpecification: true },
    schemas: `./${client}/model`, ...more,
  },
});
export default {
  fetch: make("fetch", { mock: true }),
  axios: make("axios"),
  query: make("react-query", { mock: true, override: { query: { version: 5 } } }),
  swr: make("swr", { mock: true }),
  zod: make("zod"),
};
"""
ORVAL_STORY = """
import { strict as assert } from "node:assert";
import { getListRecordsMockHandler } from "./fetch/endpoints.msw";
import * as sigma from "./fetch/endpoints";
import { Permission } from "./fetch/model";
import * as shapes from "./zod/endpoints";

async function story() {
  const login = await sigma.login({ email: "admin@sigma.io", password: "admin" });
  assert.equal(login.status, 200);
  if (login.status !== 200) return;
  const admin = { headers: { Authorization: `Bearer ${login.data.token}` } };
  const body = { name: "Feed", permissions: [Permission.read, Permission["update-data"]] };
  const key = await sigma.createApiKey(shapes.CreateApiKeyBody.parse(body), admin);
  if (key.status !== 201) throw new Error(key.data.message);
  const feed = { headers: { "X-Sigma-ApiKey": key.data.rawKey } };
  const page = await sigma.listRecords({ schemaId: "schema-apparel", limit: 1 }, feed);
  if (page.status !== 200) throw new Error(page.data.message);
  assert.equal(shapes.ListRecordsResponse.parse(page.data).items[0]?.id, "ent-coastal-wb");
  const refused = await sigma.deleteRecord("ent-coastal-wb", feed);
  assert.equal(refused.status, 403);
  assert.equal((await sigma.deactivateApiKey(key.data.id, admin)).status, 200);
  assert.ok(getListRecordsMockHandler());
}

story().catch((error) => { console.error(error); process.exit(1); });
"""


def test_what_orval_makes_compiles_and_works(telling_proxy, tmp_path):
    programs = install_from_npm(tmp_path, *FOR_TYPESCRIPT, *FOR_ORVAL)
    (tmp_path / "orval.config.mjs").write_text(ORVAL.replace("DOCUMENT", f"{telling_proxy}/openapi.json"), encoding="utf-8")
    said = run(programs / "orval", "--config", "orval.config.mjs", cwd=tmp_path)
    assert said.count("ready to use orval") == 5, said
    (tmp_path / "story.ts").write_text(ORVAL_STORY, encoding="utf-8")
    compile_and_run(tmp_path, programs)

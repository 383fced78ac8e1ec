"""PocketBase: a folder with a collection of records, which callers with a key may read and add to.

What it asks of a key stands in the collection's rules, what it keeps of a change in its hooks; how durable a commit is, is
its own choice (synchronous=NORMAL). `python pocketbase.py PROGRAM PORT` makes the folder `pocketbase` in BENCH_FOLDER with the
record of record.json, and prints a key and the record's id.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

FOLDER = Path(os.environ["BENCH_FOLDER"]) / "pocketbase"
OPERATOR = ("bench@example.org", "a long password")
HOOK = """
onRecordCreateExecute((e) => {
  e.next()
  const entry = new Record(e.app.findCollectionByNameOrId("history"))
  entry.set("record", e.record.id)
  entry.set("changes", e.record.get("values"))
  e.app.save(entry)
}, "records")
"""
KNOWN = "@collection.keys.key ?= @request.headers.x_api_key && @collection.keys.active ?= true"


def field(name, type="text", **more):
    return {"name": name, "type": type, "required": True, **more}


COLLECTIONS = [
    {
        "name": "keys",
        "fields": [field("key"), field("active", "bool")],
        "indexes": ["CREATE UNIQUE INDEX keys_by_key ON keys (key)"],
    },
    {"name": "history", "fields": [field("record"), field("changes", "json")]},
    {
        "name": "records",
        "fields": [
            field("schemaId"),
            field("ean", required=False),
            field("values", "json"),
            field("created", "autodate", required=False, onCreate=True),
            field("updated", "autodate", required=False, onCreate=True, onUpdate=True),
        ],
        "indexes": [
            "CREATE UNIQUE INDEX records_by_ean ON records (ean)",
            "CREATE INDEX records_by_schema ON records (schemaId)",
        ],
        "viewRule": KNOWN,
        "createRule": KNOWN,
    },
]


def arguments(program, port):
    return [program, "serve", f"--http=127.0.0.1:{port}", f"--dir={FOLDER}/data", f"--hooksDir={FOLDER}/hooks"]


def fill(port):
    url, token = f"http://127.0.0.1:{port}/api/collections", None

    def post(path, body):
        headers = {"Content-Type": "application/json", **({"Authorization": token} if token else {})}
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    for _ in range(100):
        try:
            token = post("/_superusers/auth-with-password", {"identity": OPERATOR[0], "password": OPERATOR[1]})["token"]
            break
        except urllib.error.URLError:
            time.sleep(0.1)
    for collection in COLLECTIONS:
        post("", {"type": "base", **collection})
    key, record = secrets.token_urlsafe(32), json.loads((FOLDER.parent / "record.json").read_text(encoding="utf-8"))
    post("/keys/records", {"key": key, "active": True})
    made = post("/records/records", {"schemaId": record["schemaId"], "ean": "none", "values": record["values"]})
    return f"{key} {made['id']}"


def make_folder(program, port):
    (FOLDER / "hooks").mkdir(parents=True)
    (FOLDER / "hooks" / "main.pb.js").write_text(HOOK, encoding="utf-8")
    subprocess.run([program, "superuser", "upsert", *OPERATOR, f"--dir={FOLDER}/data"], capture_output=True, check=True)
    with subprocess.Popen(arguments(program, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            return fill(port)
        finally:
            server.terminate()


if __name__ == "__main__":
    print(make_folder(sys.argv[1], int(sys.argv[2])))

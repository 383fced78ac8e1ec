// @ts-check
/**
 * Sigma PIM embedded, for a test suite. Copy this file into your project; it needs Node 20 or newer, and no packages.
 *
 *     import { start } from "./sigma_standin.mjs";
 *
 *     const standin = await start("../sigma-pim-embedded"); // a checkout, in which `make install` has been called once
 *     const key = await standin.key("read", "update-data");
 *     await runMyIntegration(standin.url, key); // which sends the key as X-Sigma-ApiKey
 *     assert.deepEqual(await standin.requests({ key, status: "4xx" }), []);
 *     await standin.close();
 *
 * That starts a service, on a free port and with a database of its own. Both go when it is closed, and when the program
 * that started it ends, however it ends. Without a path, the variable SIGMA_STANDIN has it: that of a checkout, of the one
 * file of `make dist`, or the address of a service that runs already (http://127.0.0.1:8080), which is then left as it is.
 * The one file is run with `python3`, or what the variable PYTHON says.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * @typedef {(typeof ALL_PERMISSIONS)[number]} Permission
 * @typedef {{ on?: string, status?: number, retryAfter?: number, delayMs?: number, after?: number, times?: number,
 *   probability?: number }} Rule
 * @typedef {{ status?: number | string, key?: string, workspace?: string, method?: string, path?: string, after?: string,
 *   limit?: number }} Filters
 */

const START_TIMEOUT = 60_000, STOP_TIMEOUT = 15_000, ANSWER_TIMEOUT = 30_000; // milliseconds
const ALL_PERMISSIONS = /** @type {const} */ (["read", "update-data", "delete-data", "update-model", "delete-model"]);
const ADMINISTRATOR = { email: "admin@sigma.io", password: "admin" }; // of the demo

/** What the service refuses, by status, code and message; status 0 and code NOT_RUNNING when there is no service. */
export class StandinError extends Error {
  constructor(/** @type {string} */ message, status = 0, code = "NOT_RUNNING") {
    super(message);
    this.name = "StandinError";
    this.status = status;
    this.code = code;
  }
}

/** An administrator of one workspace: `url` is the address of the API, `token` for `Authorization: Bearer`. */
class Client {
  constructor(/** @type {string} */ url, /** @type {string} */ token) {
    this.url = url;
    this.token = token;
  }

  /**
   * Make an API key with these permissions, or with all of them when none is named, and return it.
   * @param {...Permission} permissions
   * @returns {Promise<string>}
   */
  async key(...permissions) {
    const body = { name: "Test key", permissions: permissions.length ? permissions : ALL_PERMISSIONS };
    const made = await call(this.url, "POST", "/api/v1/api-keys", body, { Authorization: `Bearer ${this.token}` });
    return made.rawKey;
  }

  /** Give back what this stands for. */
  async close() {}

  /** For `await using`, which Node has from 24 on. */
  async [Symbol.asyncDispose ?? Symbol("asyncDispose")]() {
    await this.close();
  }
}

/** A workspace for a test: what is done in it, no other one sees. */
export class Workspace extends Client {
  constructor(/** @type {string} */ url, /** @type {{ id: string, admin: { token: string } }} */ made) {
    super(url, made.admin.token);
    this.id = made.id;
  }

  /** Remove the workspace, with all that it holds, unless it is gone already. */
  async close() {
    try {
      await call(this.url, "DELETE", `/standin/workspaces/${this.id}`);
    } catch (error) {
      if (/** @type {StandinError} */ (error).status !== 404) throw error;
    }
  }
}

/** A service with the demo workspace, whose administrator has `token`, and with others for tests. */
export class Standin extends Client {
  constructor(/** @type {string} */ url, /** @type {string} */ token, /** @type {() => Promise<void>} */ end) {
    super(url, token);
    this.close = end;
  }

  /**
   * Make a workspace: as the demo is at first ("demo"), with nothing ("empty"), like another (its id), or of a seed.
   * @param {string | object} content
   */
  async workspace(content = "demo") {
    return new Workspace(this.url, await call(this.url, "POST", "/standin/workspaces", { content }));
  }

  /**
   * Return what the API was asked, newest first, and why it answered so.
   *
   * Only what was answered so (404, or "4xx"), with this key (raw or its id), in this workspace (its id), by this method, on
   * a path with this part, after the request with this id.
   * @param {Filters} filters
   * @returns {Promise<any[]>}
   */
  async requests(filters = {}) {
    const wanted = { ...filters, key: filters.key && (await this.#keyId(filters.key)) };
    const given = Object.entries(wanted).filter(([, value]) => value !== undefined);
    const unknown = given.map(([name]) => name).filter((name) => !FILTERS.includes(name));
    if (unknown.length) throw new TypeError(`requests() takes ${FILTERS.join(", ")}, not ${unknown.join(", ")}`);
    return call(this.url, "GET", `/standin/requests?${new URLSearchParams(/** @type {any} */ (given))}`);
  }

  /**
   * Make calls of a key (raw or its id) fail by these rules, such as { on: "POST /records", status: 429, times: 2 }.
   *
   * Returns the rules with their `hits`. [] ends them all; without rules, those that are there stay.
   * @param {string} key
   * @param {Rule[]} [rules]
   * @returns {Promise<(Rule & { hits: number })[]>}
   */
  async faults(key, rules) {
    const path = `/standin/keys/${await this.#keyId(key)}/faults`;
    return call(this.url, rules ? "PUT" : "GET", path, rules);
  }

  /** Make the demo workspace as it was at first; those of tests stay. */
  async reset() {
    await call(this.url, "POST", "/standin/reset", {});
  }

  async #keyId(/** @type {string} */ key) {
    if (!key.startsWith("sigma_sk_")) return key;
    return (await call(this.url, "GET", "/standin/whoami", undefined, { "X-Sigma-ApiKey": key })).key.id;
  }
}

const FILTERS = ["status", "key", "workspace", "method", "path", "after", "limit"];

/**
 * Start what the path names, with settings of the service such as { SIGMA_RECORD_LIMIT: "5" }, and return it when it answers.
 * @param {string} path
 * @param {Record<string, string>} settings
 */
export async function start(path = process.env.SIGMA_STANDIN ?? "", settings = {}) {
  if (/^https?:/.test(path)) {
    const url = path.replace(/(\/api\/v1)?\/*$/, "/api/v1");
    return new Standin(url, await signIn(url), async () => {});
  }
  const [command, ...words] = findCommand(path);
  const folder = mkdtempSync(join(tmpdir(), "sigma-standin-"));
  const log = join(folder, "sigma.db.log");
  const output = openSync(log, "w");
  const service = spawn(command, [...words, "serve", "--temporary", "--until-eof"], {
    cwd: statSync(path).isDirectory() ? path : undefined,
    env: environment({ ...settings, SIGMA_DATABASE: join(folder, "sigma.db") }),
    stdio: ["pipe", output, output], // its input ends with this process, and then so does the service
    detached: true, // a terminal's Ctrl-C is for the tests, which then close it
  });
  closeSync(output);
  const close = () => end(service, folder);
  try {
    const url = `${await awaitAddress(service, log)}/api/v1`;
    const standin = new Standin(url, await signIn(url), close);
    service.unref(); // a program that forgets to close it ends all the same
    /** @type {any} */ (service.stdin).unref();
    return standin;
  } catch (error) {
    await close();
    throw error;
  }
}

/** @returns {string[]} how to run commands of the service at a path */
function findCommand(/** @type {string} */ place) {
  const path = resolve(place);
  if (!place) throw new StandinError("Where is Sigma PIM? start(path) or SIGMA_STANDIN names a checkout, or the one file of `make dist`");
  if (existsSync(path) && statSync(path).isFile()) return [process.env.PYTHON ?? "python3", path];
  if (!existsSync(join(path, "app.py"))) {
    throw new StandinError(`${path} is neither a checkout of Sigma PIM embedded nor the one file of \`make dist\`, nor an http:// address`);
  }
  const python = join(path, ".venv", "bin", "python");
  if (!existsSync(python)) throw new StandinError(`${path} is not installed: call \`make -C ${path} install\` once`);
  return [python, "-m", "flask", "--app", "app"];
}

function environment(/** @type {Record<string, string>} */ settings) {
  const others = /^(SIGMA_|FLASK_|PYTHON)/; // what is set for another service
  const inherited = Object.entries(process.env).filter(([name]) => !others.test(name));
  const serving = { SIGMA_HOST: "127.0.0.1", SIGMA_PORT: "0", SIGMA_WORKERS: "1", SIGMA_REQUEST_LOG: "0" };
  return { ...Object.fromEntries(inherited), ...serving, ...settings };
}

async function awaitAddress(/** @type {import("node:child_process").ChildProcess} */ service, /** @type {string} */ log) {
  /** @type {Error | undefined} */
  let failure;
  service.on("error", (error) => (failure = error));
  service.stdin?.on("error", () => {}); // the service is gone, which is told by what comes next
  const deadline = Date.now() + START_TIMEOUT;
  for (let hasEnded = false; ; ) {
    const printed = readFileSync(log, "utf8");
    const ready = /^Ready +(\S+)\n/m.exec(printed);
    if (ready) return ready[1];
    if (failure) throw new StandinError(`${service.spawnfile} cannot be run: ${failure.message}`);
    if (hasEnded || Date.now() > deadline) {
      throw new StandinError(printed.trim().split("Error: ").at(-1) || "The service does not answer");
    }
    await sleep(10);
    hasEnded = service.exitCode !== null || service.signalCode !== null; // and what it has printed is looked at once more
  }
}

async function end(/** @type {import("node:child_process").ChildProcess} */ service, /** @type {string} */ folder) {
  const isRunning = () => service.pid && service.exitCode === null && service.signalCode === null;
  if (isRunning()) {
    service.ref();
    service.kill("SIGTERM");
    const late = setTimeout(() => isRunning() && process.kill(-(/** @type {number} */ (service.pid)), "SIGKILL"), STOP_TIMEOUT);
    await once(service, "exit");
    clearTimeout(late);
  }
  service.stdin?.destroy();
  rmSync(folder, { recursive: true, force: true });
}

async function signIn(/** @type {string} */ url) {
  return (await call(url, "POST", "/api/v1/auth/login", ADMINISTRATOR)).token;
}

/**
 * @param {string} url
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 */
async function call(url, method, path, body, headers = {}) {
  const request = {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT),
  };
  let answer, text;
  try {
    answer = await fetch(url.replace(/\/api\/v1$/, "") + path, request);
    text = await answer.text();
  } catch (error) {
    throw new StandinError(`${url} does not answer: ${/** @type {any} */ (error).cause?.message ?? error}`);
  }
  if (answer.ok) return text ? JSON.parse(text) : null;
  const said = text.startsWith("{") ? JSON.parse(text) : { error: "", message: text };
  throw new StandinError(said.message, answer.status, said.error);
}

// The life of a key, longer than in the README: played step by step, for an audience that watches it in the other views.

import { bearer, send } from "./api.js";
import { button, data, h, icon, replace } from "./dom.js";
import { statusBadge } from "./entry.js";
import { announce } from "./notices.js";
import { link } from "./router.js";

const PAUSE = 2500; // milliseconds between steps when all are played
const RECORD = "records/ent-rain-hat"; // the story makes it

let player = null;

/** Open the story at its beginning, or close it. */
export async function openStory() {
  if (player) return player.close();
  const { body: steps } = await send("GET", "console/story.json");
  player = new Player(steps);
  document.getElementById("app").append(player.dock);
  player.draw();
  player.dock.querySelector("h2").focus();
}

/** Close the story, if it is open. */
export function closeStory() {
  player?.close();
}

/** Plays the steps; the key that the story makes is kept nowhere else. */
class Player {
  constructor(steps) {
    Object.assign(this, { steps, next: 0, key: null, answer: null, timer: null, isAsking: false });
    this.dock = h("aside", { class: "story", "aria-label": "Story" });
  }

  close() {
    clearInterval(this.timer);
    this.dock.remove();
    player = null;
    document.getElementById("story")?.focus();
  }

  draw() {
    const step = this.steps[Math.max(0, this.next - 1)];
    replace(
      this.dock,
      h(
        "header",
        {},
        h("h2", { tabindex: "-1" }, "The life of a key"),
        button(icon("cross"), () => this.close(), {
          class: "button quiet",
          "aria-label": "Close the story",
          id: "story-close",
        }),
      ),
      this.next
        ? this.told(step)
        : h(
            "p",
            {},
            `In ${this.steps.length} steps: a key is made, used, refused, deactivated. Watch them in `,
            h("a", { href: link(["requests"]) }, "Requests"),
            ".",
          ),
      this.controls(),
    );
  }

  told(step) {
    const { status, body } = this.answer;
    return h(
      "div",
      {},
      h("p", { class: "caption" }, step.caption),
      h(
        "p",
        { class: "call" },
        h("code", {}, step.request.replace("{key}", this.key?.id ?? "")),
        " ",
        statusBadge({ status }),
      ),
      body?.message && h("p", { class: "hint" }, data(body.message)),
    );
  }

  controls() {
    const isOver = this.next >= this.steps.length;
    const forward = isOver
      ? button([icon("reset"), "From the start"], () => this.restart(), {
          class: "button primary small",
          id: "story-next",
        })
      : button([icon("next"), this.next ? "Next" : "Begin"], () => this.step(), {
          class: "button primary small",
          id: "story-next",
        });
    const plays =
      !isOver &&
      button([icon(this.timer ? "pause" : "play"), this.timer ? "Pause" : "Play all"], () => this.togglePlay(), {
        class: "button small",
        id: "story-play",
      });
    return h(
      "div",
      { class: "actions" },
      h("span", { class: "hint" }, `Step ${this.next} of ${this.steps.length}`),
      plays,
      forward,
    );
  }

  async step() {
    if (this.isAsking || this.next >= this.steps.length) return;
    this.isAsking = true;
    try {
      if (this.next === 0) await send("DELETE", `api/v1/${RECORD}`, { headers: bearer() }); // left by an earlier run
      this.answer = await this.ask(this.steps[this.next]);
      this.next += 1;
      if (this.answer.body?.rawKey) this.key = this.answer.body;
    } catch {
      this.stop(); // the page says that the service does not answer
    } finally {
      this.isAsking = false;
    }
    if (this.next >= this.steps.length) this.stop();
    this.draw();
    if (this.answer) announce(`${this.steps[Math.max(0, this.next - 1)].caption} ${this.answer.status}`);
  }

  ask({ by, request, body }) {
    const [method, path] = request.replace("{key}", this.key?.id).split(" ");
    const credential = by === "key" ? { "X-Sigma-ApiKey": this.key.rawKey } : bearer();
    return send(method, `api/v1${path}`, {
      body,
      headers: { ...credential, "X-Request-Id": `story-${Date.now().toString(36)}-${this.next + 1}` },
    });
  }

  togglePlay() {
    if (this.timer) this.stop();
    else {
      this.timer = setInterval(() => this.step(), PAUSE);
      this.step();
    }
    this.draw();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  restart() {
    Object.assign(this, { next: 0, key: null, answer: null });
    this.draw();
  }
}

// The page at /try: two clients of one app, each with a plug in its line.

import { ChatCamp } from "/chatcamp.js";
import { Plug } from "./plug.js";

/** Where the page is too narrow for two, the wire is shown when asked for. */
const NARROW = "(max-width: 52rem)";
/** How long a plug that was pulled stays out. */
const OUT_MS = 4_000;
/** Lines of a log, at most; the oldest go first. */
const LINES = 200;
const EVENT = "try.said";

const STATES = {
  disconnected: "Not connected",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
};
const TRANSPORTS = { websocket: "WebSocket", "long-poll": "long-poll" };

class Panel {
  #root;
  #chat = null;
  #plug = new Plug();
  #countdown = 0;

  constructor(root) {
    this.#root = root;
    this.#find("form.login").addEventListener("submit", (event) => {
      event.preventDefault();
      this.connect();
    });
    this.#find(".disconnect").addEventListener("click", () => this.#chat?.disconnect());
    this.#find(".plug").addEventListener("click", () => this.#pull());
    this.#find("form.say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.#find(".user-id").addEventListener("input", () => this.#name());
    this.#find(".wire").open = !matchMedia(NARROW).matches;
  }

  get userId() {
    return this.#find(".user-id").value;
  }

  async connect() {
    const old = this.#chat;
    const chat = new ChatCamp({
      appId: document.querySelector("#app-id").value.trim(),
      transport: this.#find(".transport").value,
      webSocket: this.#plug.webSocket,
      fetch: this.#plug.fetch,
      trace: (direction, text) => this.#wire(direction, text),
    });
    this.#chat = chat;
    this.#listen(chat);
    this.#name();
    await old?.disconnect();
    try {
      await chat.connect(this.userId, this.#find(".token").value);
    } catch {
      // The event `disconnected` has shown it.
    }
  }

  #listen(chat) {
    const on = (type, listener) => chat.on(type, (detail) => this.#chat === chat && listener(detail));
    on("state", (state) => this.#show(state, STATES[state]));
    on("connected", ({ transport, resumed, fresh }) => {
      const anew = fresh === "new" ? "a new session" : `a new session (${fresh})`;
      const session = resumed ? `the session goes on, ${resumed.replayed} messages come again` : anew;
      this.#show("connected", `Connected over ${TRANSPORTS[transport]}`);
      this.#note(`connected over ${TRANSPORTS[transport]}: ${session}`);
    });
    on("reconnecting", ({ why, afterMs }) => this.#note(`${why.message}; trying again in ${(afterMs / 1000).toFixed(1)} s`));
    on("disconnected", ({ reason }) => {
      const byUs = ["DISCONNECTED_BY_US", "SUPERSEDED"].includes(reason.code);
      const why = `${reason.advice === "retry" ? "No connection" : "Refused"}: ${reason.message}`;
      this.#show("disconnected", byUs ? STATES.disconnected : why, !byUs);
      this.#note(byUs ? "disconnected" : `${reason.code}: ${reason.message}`);
    });
    on("event", ({ type, data }) => {
      if (type === EVENT) this.#heard(String(data.from), String(data.text));
      else this.#heard(type, JSON.stringify(data));
    });
  }

  #show(state, text, isBad = false) {
    const status = this.#find(".status");
    status.dataset.state = isBad ? "refused" : state;
    status.textContent = text;
    const isOn = state !== "disconnected";
    this.#find(".connect").textContent = isOn ? "Connect again" : "Connect";
    this.#find(".connect").classList.toggle("primary", !isOn);
    this.#find(".disconnect").disabled = !isOn;
    this.#find(".plug").disabled = !isOn || this.#countdown !== 0;
    for (const control of [this.#find(".text"), this.#find(".send")]) control.disabled = !isOn;
  }

  #name() {
    this.#find(".name").textContent = this.userId || "nobody";
    for (const panel of panels) {
      panel.#find(".text").placeholder = `Say something to ${other(panel).userId || "nobody"}`;
    }
  }

  #pull() {
    this.#note("the plug is out");
    this.#plug.pull();
    const button = this.#find(".plug");
    const until = performance.now() + OUT_MS;
    const tick = () => {
      const left = until - performance.now();
      if (left > 0) {
        button.textContent = `Back in ${Math.ceil(left / 1000)} s`;
        return;
      }
      clearInterval(this.#countdown);
      this.#countdown = 0;
      this.#plug.putBack();
      this.#note("the plug is back");
      button.textContent = "Pull the plug";
      button.disabled = !this.#chat || this.#chat.state === "disconnected";
      // What a browser says when its network is back.
      window.dispatchEvent(new Event("online"));
    };
    this.#countdown = setInterval(tick, 200);
    button.disabled = true;
    tick();
  }

  async #say() {
    const input = this.#find(".text");
    const [text, to] = [input.value, other(this).userId];
    input.value = "";
    const line = this.#line("own", "", text);
    const told = await publish(to, { from: this.userId, text });
    inSight(line.parentElement, () => line.append(element("small", "", told)));
  }

  #heard(from, text) {
    this.#line("others", from, text);
  }

  #line(kind, from, text) {
    const talk = this.#find(".talk");
    talk.querySelector(".empty")?.remove();
    const line = element("p", kind, "");
    if (from) line.append(element("b", "", from));
    line.append(element("span", "", text));
    return append(talk, line);
  }

  #note(text) {
    append(this.#find(".wire ol"), element("li", "note", text));
  }

  #wire(direction, text) {
    append(this.#find(".wire ol"), element("li", direction, text));
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Appends a line; the oldest go. */
function append(list, line) {
  inSight(list, () => list.append(line));
  while (list.children.length > LINES) list.firstElementChild.remove();
  return line;
}

/** Changes a list and keeps its end in sight, unless somebody has scrolled up to read. */
function inSight(list, change) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  change();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Asks the page's server to say something to a user; what came of it, for people. */
async function publish(to, data) {
  try {
    const answer = await fetch("/try/publish", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ to, type: EVENT, data }),
    });
    const { ok, delivered, error } = await answer.json();
    if (!ok) return error.message;
    return delivered > 0 ? "delivered" : `${to} is not there`;
  } catch {
    return "the server cannot be reached";
  }
}

const other = (panel) => panels[1 - panels.indexOf(panel)];
const panels = [];
panels.push(...[...document.querySelectorAll("section.user")].map((root) => new Panel(root)));
document.querySelector("#connect-both").addEventListener("click", () => panels.forEach((panel) => panel.connect()));

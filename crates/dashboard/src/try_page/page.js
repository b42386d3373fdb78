// The page /try: two clients of one app, each with a network that can be cut.

import { ChatCamp } from "../chatcamp.js";
import { CuttableNetwork } from "./network.js";

/** On narrow screens, the wire log is closed at first. */
const NARROW = "(max-width: 52rem)";
/** How long a connection stays cut. */
const CUT_MS = 4_000;
/** Maximum number of lines in a list; the oldest are removed. */
const MAX_LINES = 200;
const EVENT = "try.message";

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
  #network = new CuttableNetwork();
  #countdown = 0;

  constructor(root) {
    this.#root = root;
    this.#find("form.login").addEventListener("submit", (event) => {
      event.preventDefault();
      this.connect();
    });
    this.#find(".disconnect").addEventListener("click", () => this.#chat?.disconnect());
    this.#find(".cut").addEventListener("click", () => this.#cut());
    this.#find("form.message").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#find(".user-id").addEventListener("input", () => this.#showNames());
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
      webSocket: this.#network.webSocket,
      fetch: this.#network.fetch,
      trace: (direction, text) => this.#log(direction, text),
    });
    this.#chat = chat;
    this.#listen(chat);
    this.#showNames();
    await old?.disconnect();
    try {
      await chat.connect(this.userId, this.#find(".token").value);
    } catch {
      // The event `disconnected` shows the reason.
    }
  }

  #listen(chat) {
    const on = (type, listener) => chat.on(type, (detail) => this.#chat === chat && listener(detail));
    on("state", (state) => this.#show(state, STATES[state]));
    on("connected", ({ transport, resumed, fresh }) => {
      const started = fresh === "new" ? "new session" : `new session (${fresh})`;
      const session = resumed ? `session resumed, messages replayed: ${resumed.replayed}` : started;
      this.#show("connected", `Connected over ${TRANSPORTS[transport]}`);
      this.#note(`connected over ${TRANSPORTS[transport]}: ${session}`);
    });
    on("reconnecting", ({ why, afterMs }) => this.#note(`${why.message}; retrying in ${(afterMs / 1000).toFixed(1)} s`));
    on("disconnected", ({ reason }) => {
      const isWanted = ["DISCONNECTED_BY_US", "SUPERSEDED"].includes(reason.code);
      const failure = `${reason.advice === "retry" ? "No connection" : "Refused"}: ${reason.message}`;
      this.#show("disconnected", isWanted ? STATES.disconnected : failure, !isWanted);
      this.#note(isWanted ? "disconnected" : `${reason.code}: ${reason.message}`);
    });
    on("event", ({ type, data }) => {
      if (type === EVENT) this.#received(String(data.from), String(data.text));
      else this.#received(type, JSON.stringify(data));
    });
  }

  #show(state, text, isRefused = false) {
    const status = this.#find(".status");
    status.dataset.state = isRefused ? "refused" : state;
    status.textContent = text;
    const isActive = state !== "disconnected";
    this.#find(".connect").textContent = isActive ? "Connect again" : "Connect";
    this.#find(".connect").classList.toggle("primary", !isActive);
    this.#find(".disconnect").disabled = !isActive;
    this.#find(".cut").disabled = !isActive || this.#countdown !== 0;
    for (const control of [this.#find(".text"), this.#find(".send")]) control.disabled = !isActive;
  }

  #showNames() {
    this.#find(".name").textContent = this.userId || "(no user id)";
    for (const panel of panels) {
      panel.#find(".text").placeholder = `Message to ${other(panel).userId || "the other user"}`;
    }
  }

  #cut() {
    this.#note("connection cut");
    this.#network.cut();
    const button = this.#find(".cut");
    const until = performance.now() + CUT_MS;
    const tick = () => {
      const left = until - performance.now();
      if (left > 0) {
        button.textContent = `Restored in ${Math.ceil(left / 1000)} s`;
        return;
      }
      clearInterval(this.#countdown);
      this.#countdown = 0;
      this.#network.restore();
      this.#note("network restored");
      button.textContent = "Cut connection";
      button.disabled = !this.#chat || this.#chat.state === "disconnected";
      // Browsers dispatch this event when their network is restored.
      window.dispatchEvent(new Event("online"));
    };
    this.#countdown = setInterval(tick, 200);
    button.disabled = true;
    tick();
  }

  async #send() {
    const input = this.#find(".text");
    const text = input.value;
    const to = other(this).userId;
    input.value = "";
    const line = this.#addMessage("own", "", text);
    const outcome = await publish(to, { from: this.userId, text });
    keepEndVisible(line.parentElement, () => line.append(element("small", "", outcome)));
  }

  #received(from, text) {
    this.#addMessage("others", from, text);
  }

  #addMessage(kind, from, text) {
    const messages = this.#find(".messages");
    messages.querySelector(".empty")?.remove();
    const line = element("p", kind, "");
    if (from) line.append(element("b", "", from));
    line.append(element("span", "", text));
    return append(messages, line);
  }

  #note(text) {
    append(this.#find(".wire ol"), element("li", "note", text));
  }

  #log(direction, text) {
    append(this.#find(".wire ol"), element("li", direction, text));
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }
}

function element(tag, className, text) {
  const created = document.createElement(tag);
  created.className = className;
  created.textContent = text;
  return created;
}

/** Appends a line, and removes the oldest if there are too many. */
function append(list, line) {
  keepEndVisible(list, () => list.append(line));
  while (list.children.length > MAX_LINES) list.firstElementChild.remove();
  return line;
}

/** Changes a list and keeps its end visible, unless the user has scrolled up. */
function keepEndVisible(list, change) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  change();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Publishes an event to a user through the page's server; returns the outcome as text. */
async function publish(to, data) {
  try {
    const answer = await fetch(new URL("publish", import.meta.url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ to, type: EVENT, data }),
    });
    const { ok, delivered, queued, error } = await answer.json();
    if (!ok) return error.message;
    if (delivered > 0) return "delivered";
    return queued > 0 ? `queued until ${to} comes back` : `${to} is not connected`;
  } catch {
    return "the server cannot be reached";
  }
}

const other = (panel) => panels[1 - panels.indexOf(panel)];
const panels = [];
panels.push(...[...document.querySelectorAll("section.user")].map((root) => new Panel(root)));
document.querySelector("#connect-both").addEventListener("click", () => panels.forEach((panel) => panel.connect()));

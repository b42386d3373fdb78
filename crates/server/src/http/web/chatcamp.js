// The ChatCamp client for web pages: one ES module, no dependencies. It speaks the native dialect of docs/PROTOCOL.md, over
// WebSocket, or over long-poll where no WebSocket opens.
//
//   import { ChatCamp } from "https://chat.example/chatcamp.js";
//   const chat = new ChatCamp({ appId: "APP_ID" });
//   chat.on("event", ({ type, data }) => console.log(type, data));
//   const user = await chat.connect("alice"); // or ("alice", "access token"), or ("alice", { token: async (why) => "…" })
//
// chatcamp.d.ts beside it has the types.

export const VERSION = "0.1.0";

/** Whether this file comes from a server, and not from the npm package: the server changes this line in `/chatcamp.tgz`. */
const IS_SERVED = true;

/** The codes of refusals and ends: the WebSocket close code and the advice of each. */
export const CODES = Object.freeze({
  HANDSHAKE_TIMEOUT: [4000, "retry"],
  IDLE_TIMEOUT: [4001, "retry"],
  OVERLOADED: [4002, "retry"],
  STORE_UNAVAILABLE: [4003, "retry"],
  USER_LIMIT_REACHED: [4004, "retry"],
  SHUTTING_DOWN: [4005, "retry"],
  SLOW_CONSUMER: [4006, "retry"],
  OUT_OF_SEQUENCE: [4007, "retry"],
  LOST: [4008, "retry"],
  CREDENTIAL_CHANGED: [4009, "retry"],
  RECONNECT: [4010, "retry"],
  CONNECTION_UNKNOWN: [4011, "retry"],
  RATE_LIMITED: [4012, "retry"],
  APP_NOT_FOUND: [4500, "terminal"],
  APP_ID_INVALID: [4501, "terminal"],
  USER_ID_INVALID: [4502, "terminal"],
  CREDENTIAL_REFUSED: [4503, "credential"],
  ACCESS_TOKEN_REQUIRED: [4504, "credential"],
  ACCESS_TOKEN_INVALID: [4505, "credential"],
  ACCESS_TOKEN_EXPIRED: [4506, "credential"],
  SESSION_KEY_INVALID: [4507, "credential"],
  CREDENTIAL_REVOKED: [4508, "credential"],
  USER_SUSPENDED: [4509, "terminal"],
  USER_DELETED: [4510, "terminal"],
  REPLACED: [4511, "terminal"],
  SESSION_LIMIT: [4512, "terminal"],
  QUERY_INVALID: [4513, "terminal"],
  MALFORMED: [4514, "terminal"],
  UNSUPPORTED_VERSION: [4515, "terminal"],
  DISCONNECTED: [4516, "terminal"],
  SESSION_EVICTED: [4517, "terminal"],
  ORIGIN_REFUSED: [4518, "terminal"],
  PROTOCOL_ERROR: [1002, "terminal"],
  BINARY_MESSAGE: [1003, "terminal"],
  INVALID_TEXT: [1007, "terminal"],
  MESSAGE_TOO_LARGE: [1009, "terminal"],
});

const ADVICE = ["retry", "credential", "terminal"];
const PATH = "/chat/2.0";
const API_PATH = "/api/2.0";
const DIALECT = 1;
const MESSAGE_BYTES = 65_536;
const USER_ID_BYTES = 255;
/** The users of one request, unless the page chooses otherwise. */
const PAGE_SIZE = 100;
/** The fields of a user that others see. */
const PUBLIC_FIELDS = ["id", "avatar_url", "display_name", "is_online", "last_seen", "profile_url"];
const SILENCE_MS = 35_000;
const HEARTBEAT_MS = 25_000;
/** How long the server may take to answer when the connection is checked. */
const DOUBT_MS = 5_000;
/** A timer this late shows that the page was suspended, so the server is not to blame for the silence. */
const LATE_MS = 5_000;
/** How long to wait for the server's part of a close. */
const CLOSING_MS = 5_000;
/** How long a WebSocket may take to open before long-poll is tried. */
const OPENING_MS = 5_000;
/** How long to try long-poll first after a WebSocket did not open and long-poll did. */
const FALLBACK_MS = 300_000;
/** The delay before attempt n is drawn from 0 to SHORTEST · 2ⁿ, at most LONGEST. */
const SHORTEST_MS = 500;
const LONGEST_MS = 20_000;
/** A connection that lived this long resets the delays. */
const STABLE_MS = 10_000;
/** The longest wait that a server may ask for, and the longest timer of a browser. */
const LONGEST_WAIT_MS = 3_600_000;
const LONGEST_TIMER_MS = 2_147_483_647;
/** The maximum number of requests that wait to be sent. */
const WAITING = 256;
/** The maximum number of unanswered requests: fewer than a server queues. */
const WINDOW = 64;
const WINDOW_CHARS = 16_384;
/** The part of a token's lifetime after which it is renewed, plus or minus 5 %. */
const RENEW_AT = 0.8;
/** If a poll is answered without messages sooner than this, the server did not hold it, and the next poll waits. */
const HASTY_MS = 250;
/** Received messages are acknowledged after at most this many messages or characters, which are less than 256 KiB. */
const ACKNOWLEDGED_MESSAGES = 250;
const ACKNOWLEDGED_CHARS = 65_536;
/** The close code that ends the session; any other keeps it for a resume. */
const NORMAL = 1000;
const GONE = CODES.LOST[0];
/** What a browser reports for a WebSocket that ended without a close code. */
const ABNORMAL = 1006;
/** The errors of a request that a repeated request may not have. */
const RETRYABLE = ["RATE_LIMITED", "STORE_UNAVAILABLE"];
/** `readyState` of a WebSocket. */
const CLOSED = 3;
const VIOLATION = "the server broke the protocol";
/** Events after which the network may have changed, or the page resumes from a suspension. */
const WAKING = [
  [globalThis, ["online", "focus", "pageshow"]],
  [globalThis.document, ["visibilitychange", "resume"]],
];

const isText = (value) => typeof value === "string";
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isUserId = (id) => isText(id) && id !== "" && !/\p{Cc}/u.test(id) && new TextEncoder().encode(id).length <= USER_ID_BYTES;
const isProvider = (source) => typeof source === "function";
const now = () => performance.now();

/** Why an operation failed: `code` for programs, `message` for people. */
export class ChatCampError extends Error {
  name = "ChatCampError";

  constructor(code, message, { cause, advice = null, retryAfterMs = null, mayHaveRun = false, ...rest } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    const { retryable = advice === "retry" } = rest;
    Object.assign(this, { code, advice, retryable, retryAfterMs, mayHaveRun });
  }
}

const lost = (message) => new ChatCampError("LOST", message, { advice: "retry" });

/** Returns a wait that the server asks for, in milliseconds; null if it asks for none. */
const asked = (ms) => (Number.isFinite(ms) ? Math.min(Math.max(ms, 0), LONGEST_WAIT_MS) : null);

/** Returns the error for a `session.close` or a refusal; advice of a newer server is terminal. */
function announced({ code, reason, message, advice = CODES[code]?.[1], retry_after_ms: after }) {
  return new ChatCampError(String(code), String(reason ?? message ?? code), {
    advice: ADVICE.includes(advice) ? advice : "terminal",
    retryAfterMs: asked(after),
  });
}

/** Returns the error for a WebSocket close code that is a reason of the server; null for any other. */
function numbered(number, reason) {
  const [code, [, advice]] = Object.entries(CODES).find(([, [known]]) => known === number) ??
    (number >= 4500 && number <= 4999 ? ["MALFORMED", CODES.MALFORMED] : [null, []]);
  return code && new ChatCampError(code, reason || `the server ended the connection with code ${number}`, { advice });
}

const unreachable = (message, cause) => new ChatCampError("UNREACHABLE", message, { advice: "retry", cause });

/** Returns why no connection opened, as far as it can be known: browsers hide from scripts why a request failed. */
function unopened(url) {
  const server = url.href.slice(0, -PATH.length);
  if (globalThis.location?.protocol === "https:" && !isConfidential(url)) {
    return `cannot reach ${server}: a page with https:// may not connect to http:// (mixed content); use a URL with https://`;
  }
  if (globalThis.navigator?.onLine === false) return `cannot reach ${server}: the browser is offline`;
  return `cannot reach ${server}: the server does not answer, or the browser blocked the request `
    + "(name not found, certificate, CORS); is the server running? The browser's console says more";
}

/** Returns what is wrong with an answer that is not a ChatCamp server's. */
function foreign(url, status) {
  if (status === 404) return `no ChatCamp server at ${url.href} (status 404); check the path in the URL`;
  const answered = status ? ` (status ${status})` : "";
  return `${url.href} did not answer as a ChatCamp server${answered}; check the URL and the proxy`;
}

/** The client of one page; it connects one user at a time. */
export class ChatCamp {
  #options;
  #listeners = new Map();
  #goal = null;
  #state = "disconnected";
  #user = null;
  /** Whether a WebSocket has ever opened here, and if not, until when long-poll is tried first. */
  #webSocketOpens = false;
  #fallbackUntil = 0;

  constructor(options) {
    const { appId, url } = options ?? {};
    if (appId === undefined || appId === null || appId === "") {
      throw new ChatCampError("INVALID_ARGUMENT", "an app id is needed: new ChatCamp({ appId })");
    }
    const transport = options.transport ?? "auto";
    if (!["auto", "websocket", "long-poll"].includes(transport)) {
      throw new ChatCampError("INVALID_ARGUMENT", "transport is auto, websocket or long-poll");
    }
    this.#options = {
      connectTimeoutMs: 20_000,
      requestTimeoutMs: 30_000,
      keepTrying: false,
      dangerousSendTokensInPlaintext: false,
      client: `chatcamp.js/${VERSION}`,
      webSocket: globalThis.WebSocket,
      fetch: (...request) => globalThis.fetch(...request),
      ...options,
      appId: String(appId),
      transport,
      url: endpoint(url),
      trace: tracer(options.trace),
    };
  }

  /** `disconnected`, `connecting`, `connected` or `reconnecting`. */
  get state() {
    return this.#state;
  }

  /** The connected user, with all fields; null while disconnected. */
  get user() {
    return this.#user;
  }

  /** Adds a listener for events of this type. Returns a function that removes it. */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => this.off(type, listener);
  }

  off(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }

  /** Connects a user: by id alone, by access token, or by `{ token }`, a function that provides tokens. */
  connect(userId, ...rest) {
    const callback = typeof rest.at(-1) === "function" ? rest.pop() : undefined;
    const connecting = rest.length > 1
      ? invalid("the server is named once, as in new ChatCamp({ appId, url }); connect takes id, token and callback")
      : this.#connect(userId, rest[0] ?? null);
    return told(connecting, callback);
  }

  /** Disconnects; never fails. */
  disconnect(callback) {
    const goal = this.#goal;
    const over = goal ? goal.end(new ChatCampError("DISCONNECTED_BY_US", "disconnect was called")) : Promise.resolve();
    return told(over, callback);
  }

  /** Sends a request and resolves with the body of its answer. Waits during a reconnect. */
  request(type, body = {}) {
    if (!isText(type) || type === "") return invalid("a request has a type");
    if (!isObject(body)) return invalid("the body of a request is an object");
    if (!this.#goal) return Promise.reject(new ChatCampError("NOT_CONNECTED", "no user is connected"));
    return this.#goal.request(type, body);
  }

  /** Lists the users of the app that match every filter, one at a time, in the byte order of their ids. */
  users({ online, prefix, ids, after, pageSize } = {}) {
    const isOnline = online === undefined ? undefined : online ? "ONLINE" : "OFFLINE";
    const query = { is_online_filter: isOnline, display_name_search: prefix, user_ids: ids, reference: after, limit: pageSize };
    return this.#pages("users.list", query, [ids ?? [], after ?? []].flat());
  }

  /** Resolves with a user as others see it, or null if the app has no user with this id. */
  async getUser(id) {
    try {
      const { user } = await this.#aboutUser("users.get", { id }, id);
      // The session's own user comes with its private fields.
      return Object.fromEntries(PUBLIC_FIELDS.map((name) => [name, user[name]]));
    } catch (error) {
      if (error.code === "USER_NOT_FOUND") return null;
      throw error;
    }
  }

  /** Changes fields of the connected user, and resolves with the user. */
  async updateUser(update) {
    return (await this.request("users.update", update)).user;
  }

  async block(id) {
    return (await this.#aboutUser("users.block", { block_id: id }, id)).user;
  }

  async unblock(id) {
    return (await this.#aboutUser("users.unblock", { unblock_id: id }, id)).user;
  }

  /** Lists the users that the connected user blocks, as `users` does. */
  blocked() {
    return this.#pages("users.block_list", {}, []);
  }

  async countUsers() {
    return (await this.request("users.list_count")).users;
  }

  async countOnlineUsers() {
    return (await this.request("users.list_count", { is_online_filter: "ONLINE" })).users;
  }

  /**
   * Tells the client that the network may have changed, such as when a device wakes up or joins another network.
   *
   * If the client waits before its next attempt, it connects now, even if the server asked it to wait. If it is connected, it
   * checks within 5 s that the connection still works. The browser's events (online, focus, pageshow, visibilitychange) do the
   * same, but respect a wait that the server asked for.
   */
  networkChanged() {
    this.#goal?.hurry(true);
  }

  #aboutUser(type, body, id) {
    return isUserId(id) ? this.request(type, body) : invalidUserId();
  }

  /** Yields the users of all pages. Requests a page when its first user is asked for. */
  async *#pages(type, { limit = PAGE_SIZE, ...query }, ids) {
    if (!ids.every(isUserId)) await invalidUserId();
    let { reference } = query;
    do {
      const page = await this.#patiently(type, { ...query, reference, limit });
      yield* page.users;
      ({ reference } = page);
    } while (reference !== undefined);
  }

  /** Sends a request, and again after the wait that the server asks for if requests are too fast. */
  async #patiently(type, body) {
    for (;;) {
      try {
        return await this.request(type, body);
      } catch (error) {
        if (error.code !== "RATE_LIMITED") throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? SHORTEST_MS));
      }
    }
  }

  #connect(userId, credential) {
    if (!isText(userId)) return invalid("a user id is text");
    const given = isObject(credential) ? credential.token : credential;
    const source = (isText(given) ? given.trim() : given) || null;
    if (source !== null && !isText(source) && !(isObject(credential) && isProvider(source))) {
      return invalid("a token is text, or { token: a function that provides it }");
    }
    const before = this.#goal;
    if (before?.userId === userId) return before.join(source);
    const goal = new Goal(userId, source, this.#options, this.#host());
    this.#goal = goal;
    this.#user = null;
    const arrival = goal.start();
    if (before) {
      const reason = new ChatCampError("SUPERSEDED", "another user was connected meanwhile");
      before.end(reason);
      this.#emit("disconnected", { reason });
    }
    if (this.#goal === goal) this.#become("connecting");
    return arrival;
  }

  /** Returns the operations of the client for its goal; those of a goal that was replaced have no effect. */
  #host() {
    const client = this;
    const ifMine = (act) => (goal, ...rest) => {
      if (client.#goal === goal) act(...rest);
    };
    return {
      become: ifMine((state) => client.#become(state)),
      emit: ifMine((type, detail) => client.#emit(type, detail)),
      meet: ifMine((user) => {
        client.#user = user;
      }),
      leave: ifMine((error) => {
        client.#goal = null;
        client.#user = null;
        client.#become("disconnected");
        client.#emit("disconnected", { reason: error });
      }),
      prefersLongPoll: () => now() < client.#fallbackUntil,
      /** Called when a transport has opened; `isFallback` if another one did not open before. */
      opened: (transport, isFallback) => {
        client.#webSocketOpens ||= transport === WebSocketCarrier.transport;
        // If a WebSocket has opened here before, an outage was the reason that this one did not.
        if (isFallback) client.#fallbackUntil = client.#webSocketOpens ? 0 : now() + FALLBACK_MS;
      },
    };
  }

  #become(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("state", state);
  }

  #emit(type, detail) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        report(error);
      }
    }
  }
}

const invalid = (message) => Promise.reject(new ChatCampError("INVALID_ARGUMENT", message));
const invalidUserId = () => invalid(`a user id is 1 to ${USER_ID_BYTES} bytes of text without control characters`);

/** Reports an exception of the page's own code to the page, without stopping the client. */
function report(error) {
  setTimeout(() => {
    throw error;
  });
}

/** Passes the outcome of a promise to a callback too; then the page need not handle the promise. */
function told(promise, callback) {
  if (typeof callback === "function") {
    promise.then((value) => callback(null, value), (error) => callback(error));
  }
  return promise;
}

/** Returns the URL of the chat endpoint. */
function endpoint(url) {
  if (url === undefined || url === null) return besideThisModule();
  const refuse = (why) => {
    throw new ChatCampError("INVALID_ARGUMENT", `invalid url: ${why}`);
  };
  let at;
  try {
    at = new URL(url);
  } catch {
    refuse("it is not a URL such as https://chat.example");
  }
  if (!/^(https?|wss?):$/.test(at.protocol)) refuse("it must begin with https:// or http://");
  if (at.username || at.password) refuse("remove the user name and password");
  if (at.search) refuse("remove the query, which begins with ?");
  if (at.hash) refuse("remove the fragment, which begins with #");
  at.protocol = at.protocol.replace(/^ws/, "http");
  const path = at.pathname.replace(/\/+$/, "");
  if (path.endsWith(API_PATH)) refuse(`remove ${API_PATH}, and give the address of the server alone`);
  at.pathname = path.endsWith(PATH) ? path : path + PATH;
  return at;
}

/** Returns the URL of the chat endpoint of the server that this module came from, which a proxy may serve under a path. */
function besideThisModule() {
  // A bundler moves the module into a file of another name.
  if (IS_SERVED && /^https?:[^?#]*\/chatcamp\.js([?#]|$)/.test(import.meta.url)) return new URL(`.${PATH}`, import.meta.url);
  const message = "the url of the server is missing, since this module was not loaded from a server: "
    + 'new ChatCamp({ appId, url: "https://chat.example" })';
  throw new ChatCampError("INVALID_ARGUMENT", message);
}

/** Returns whether the connection is encrypted or stays on this machine. */
function isConfidential({ protocol, hostname }) {
  return protocol === "https:" || /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** Returns a function that passes messages to a hook with their secrets redacted. */
function tracer(hook) {
  if (typeof hook !== "function") return () => {};
  const secrets = ["access_token", "key", "session_key"];
  const hidden = (name, value) => (secrets.includes(name) && isText(value) ? "…" : value);
  return (direction, text) => {
    let shown = "(not JSON)";
    try {
      shown = JSON.stringify(JSON.parse(text, hidden));
    } catch {
      // Unreadable text may contain a secret, so it is not shown.
    }
    try {
      hook(direction, shown);
    } catch (error) {
      report(error);
    }
  };
}

/** The goal to keep a user connected. Late results of a goal that is over have no effect. */
class Goal {
  #host;
  #options;
  #source;
  #session;
  #over = false;
  /** The promise that all callers of `connect` share. */
  #arrival = null;
  /** Whether the user has been connected once. */
  #established = false;
  /** The attempt in progress; dropping it drops everything that it started. */
  #attempt = null;
  #link = null;
  #linkedAt = 0;
  #attempts = 0;
  #timer = 0;
  #renewal = 0;
  /** The end of the wait that the server asked for. */
  #notBefore = 0;
  /** The last token of the provider, and the call to it in progress. */
  #offered = null;
  #asking = null;
  /** The refused token, until the provider offers another one; then a second refusal in a row is final. */
  #rejected = null;
  #secondChance = false;
  #onWaking = ({ type }) => {
    if (type !== "visibilitychange" || document.visibilityState === "visible") this.hurry();
  };

  constructor(userId, source, options, host) {
    this.userId = userId;
    this.#source = source;
    this.#options = options;
    this.#host = host;
    this.#session = new Session(options.requestTimeoutMs);
    this.#listen("addEventListener");
  }

  start() {
    const arrival = this.#arrive();
    this.#begin();
    return arrival;
  }

  /**
   * Adds a caller of `connect`. Another credential replaces the connection. A provider replaces a provider and keeps the
   * connection, because a page may create a new function each time it renders.
   */
  join(source) {
    const isReplaced = source !== this.#source && !(isProvider(source) && isProvider(this.#source));
    this.#source = source;
    if (isReplaced) {
      this.#offered = this.#asking = this.#rejected = null;
      this.#secondChance = false;
      this.#dropLink()?.close(GONE, "the credential was replaced");
      this.#attempt?.drop(GONE);
      this.#attempt = null;
      this.#setAway();
    }
    if (this.#link) return Promise.resolve(this.#session.user);
    const arrival = this.#arrive();
    if (!this.#attempt) this.#begin();
    return arrival;
  }

  request(type, body) {
    const asked = this.#session.request(type, body);
    this.#send();
    return asked;
  }

  /** Ends the goal. Resolves once the connection is closed. */
  end(error) {
    if (this.#over) return Promise.resolve();
    this.#over = true;
    this.#listen("removeEventListener");
    clearTimeout(this.#timer);
    this.#attempt?.drop(NORMAL);
    const closed = this.#dropLink()?.close(NORMAL, "") ?? Promise.resolve();
    this.#session.end();
    this.#arrival?.reject(error);
    this.#host.leave(this, error);
    return closed;
  }

  #listen(method) {
    // A worker has no document.
    for (const [target, types] of WAKING) for (const type of types) target?.[method]?.(type, this.#onWaking);
  }

  #arrive() {
    if (!this.#arrival) {
      let settle;
      const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
      this.#arrival = { promise, ...settle };
    }
    return this.#arrival.promise;
  }

  #setAway() {
    this.#host.become(this, this.#established ? "reconnecting" : "connecting");
  }

  #begin() {
    clearTimeout(this.#timer);
    this.#notBefore = 0;
    const attempt = new Attempt(this.#options, this.#host, this.userId, {
      hello: async () => {
        const token = await this.#credential();
        const { url, dangerousSendTokensInPlaintext: allowed } = this.#options;
        if (token !== null && !isConfidential(url) && !allowed) {
          const message = "the access token would cross the network in plaintext: use https, "
            + "or allow it with dangerousSendTokensInPlaintext";
          throw new ChatCampError("TOKEN_EXPOSED", message, { advice: "terminal" });
        }
        return this.#hello(token);
      },
      done: (link, ack) => this.#establish(link, ack),
      failed: (error) => this.#onFailure(error),
    });
    this.#attempt = attempt;
    attempt.run();
  }

  #hello(token) {
    const resume = this.#session.resume();
    return JSON.stringify({
      t: "users.auth",
      d: {
        v: DIALECT,
        client: this.#options.client,
        app_id: this.#options.appId,
        user_id: this.userId,
        ...(token === null ? {} : { access_token: token }),
        ...(resume === null ? {} : { resume }),
      },
      r: 1,
    });
  }

  #establish(link, ack) {
    this.#attempt = null;
    this.#established = true;
    this.#secondChance = false;
    this.#rejected = null;
    this.#linkedAt = now();
    this.#link = link;
    link.live(ack.session.heartbeat, {
      message: (envelope, chars) => this.#onMessage(envelope, chars),
      ping: () => this.#link.send(this.#session.ping()),
      ended: (error) => this.#onEnd(error),
    });
    this.#session.begin(ack.user, ack.session);
    this.#host.meet(this, ack.user);
    this.#tokenLives(ack.token_expires_in);
    for (const text of this.#session.unanswered()) link.send(text);
    this.#send();
    this.#host.become(this, "connected");
    this.#arrival?.resolve(ack.user);
    this.#arrival = null;
    const { resumed = null, fresh = null } = ack.session;
    this.#host.emit(this, "connected", { user: ack.user, transport: link.transport, resumed, fresh });
    if (ack.token_expires_in !== undefined) {
      const refreshable = isProvider(this.#source);
      this.#host.emit(this, "token_expires", { expiresIn: ack.token_expires_in, refreshable });
    }
  }

  #onFailure(error) {
    this.#attempt = null;
    this.#nameWhiteSpace(error);
    const goesOn = error.advice === "credential" ? this.#mayOfferAnother(error) : error.retryable;
    if (!goesOn) return this.end(error);
    // A refusal is not final while the provider may offer another token, so callers go on waiting.
    if (error.advice !== "credential" && !this.#options.keepTrying) {
      if (!this.#established) return this.end(error);
      this.#arrival?.reject(error);
      this.#arrival = null;
    }
    this.#pause(error);
  }

  #onEnd(error) {
    this.#dropLink();
    this.#nameWhiteSpace(error);
    const goesOn = error.advice === "credential" ? this.#mayOfferAnother(error) : error.retryable;
    if (goesOn) this.#pause(error);
    else this.end(error);
  }

  #pause(error) {
    const most = Math.min(SHORTEST_MS * 2 ** this.#attempts, LONGEST_MS);
    const afterMs = (error.retryAfterMs ?? 0) + Math.random() * most;
    this.#attempts += 1;
    this.#notBefore = now() + (error.retryAfterMs ?? 0);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#begin(), afterMs);
    const attempt = this.#attempts;
    this.#setAway();
    this.#host.emit(this, "reconnecting", { why: error, afterMs: Math.round(afterMs), attempt });
  }

  /** Connects without waiting longer, or checks a live connection. Ends a wait that the server asked for only if `isAsked`. */
  hurry(isAsked = false) {
    if (this.#link) this.#link.probe();
    else if (!this.#attempt && (isAsked || now() >= this.#notBefore)) this.#begin();
  }

  #dropLink() {
    const link = this.#link;
    this.#link = null;
    clearTimeout(this.#renewal);
    if (link && now() - this.#linkedAt >= STABLE_MS) this.#attempts = 0;
    return link;
  }

  #send() {
    if (this.#link) for (const text of this.#session.sendable()) this.#link.send(text);
  }

  #onMessage(envelope, chars) {
    // A message was lost; the server sends it again over the next connection.
    if (!this.#session.isNext(envelope.s)) return this.#link.abandon("a message of the server is missing");
    this.#dispatch(envelope);
    if (this.#session.owesPing(chars)) this.#link?.send(this.#session.ping());
  }

  #dispatch({ t, d, to }) {
    if (to !== undefined && to !== null) {
      this.#session.answer(to, d);
      this.#send();
    }
    if (t === "users.update.ack" && d.ok === true && d.user?.id === this.userId) {
      this.#session.user = d.user;
      this.#host.meet(this, d.user);
      this.#host.emit(this, "user", d.user);
    } else if (t === "app.event.pub") {
      this.#host.emit(this, "event", { type: d.type, data: d.data });
    } else if (to === undefined || to === null) {
      this.#host.emit(this, "message", { t, d });
    }
  }

  // Tokens: a constant token is sent unchanged; a provider is asked again when its token was refused or is about to expire.

  async #credential() {
    if (!isProvider(this.#source)) return this.#source;
    if (this.#offered && !this.#offered.isOld()) return this.#offered.token;
    await this.#ask(this.#rejected ? "rejected" : this.#established ? "reconnect" : "initial");
    return this.#offered.token;
  }

  /** Asks the provider, one call at a time. The answer of a replaced provider is ignored. */
  #ask(why) {
    if (!this.#asking) {
      let timer;
      // Longer than an attempt, so that the next attempt can use a slow answer. If no answer comes, the provider is asked again.
      const late = new Promise((_, reject) => {
        const error = new ChatCampError("NO_CREDENTIAL", "the token provider does not answer", { advice: "retry" });
        timer = setTimeout(() => reject(error), this.#options.connectTimeoutMs * 2);
      });
      const isLatest = () => this.#asking === asking;
      const asking = Promise.race([this.#question(this.#source, why, isLatest), late]).finally(() => {
        clearTimeout(timer);
        if (this.#asking === asking) this.#asking = null;
      });
      this.#asking = asking;
    }
    return this.#asking;
  }

  async #question(source, why, isLatest) {
    const rejected = this.#rejected;
    let offered;
    try {
      offered = new Offered(await source(why, rejected?.error ?? null));
    } catch (cause) {
      const message = "the token provider failed";
      throw new ChatCampError("NO_CREDENTIAL", message, { advice: "retry", cause });
    }
    if (!isLatest()) throw lost("the credential was replaced");
    if (rejected && rejected.token === offered.token) {
      this.#secondChance = true;
      throw rejected.error;
    }
    this.#secondChance ||= this.#rejected !== null;
    this.#rejected = null;
    this.#offered = offered;
  }

  /** Records a refusal. Returns whether the provider should be asked for another token. */
  #mayOfferAnother(error) {
    if (!isProvider(this.#source) || this.#secondChance) return false;
    this.#rejected = { error, token: this.#offered?.token };
    this.#offered = null;
    return true;
  }

  /** Adds to the refusal of a token that it contains white space, which is easily copied by accident. */
  #nameWhiteSpace(error) {
    const token = isProvider(this.#source) ? this.#offered?.token : this.#source;
    if (error.advice === "credential" && /\s/.test(token ?? "")) {
      error.message += "; the access token has white space in it";
    }
  }

  #tokenLives(seconds) {
    clearTimeout(this.#renewal);
    if (!isProvider(this.#source) || !this.#offered) return;
    if (Number.isFinite(seconds)) this.#offered.livesFor(seconds);
    const inMs = this.#offered.oldInMs();
    if (inMs !== null) {
      const soon = Math.max(inMs, 2 * SHORTEST_MS);
      this.#renewal = setTimeout(() => this.#renew(), Math.min(soon, LONGEST_TIMER_MS));
    }
  }

  /** Replaces a token that expires soon, on the live connection. */
  async #renew() {
    if (!this.#offered?.isOld()) return this.#tokenLives();
    const link = this.#link;
    let seconds;
    try {
      await this.#ask("expiring");
      if (this.#link !== link) return;
      seconds = (await this.request("users.refresh", { access_token: this.#offered.token })).token_expires_in;
    } catch {
      // The session continues until its token expires; the next attempt sends the provider's newest token.
      if (this.#offered?.isOld()) {
        const inMs = Math.max(this.#offered.endsInMs() / 4, SHORTEST_MS * 2);
        if (this.#link === link && inMs < this.#offered.endsInMs()) this.#renewal = setTimeout(() => this.#renew(), inMs);
      }
      return;
    }
    if (this.#link === link) this.#tokenLives(seconds);
  }
}

/** A token of a provider, and its lifetime. */
class Offered {
  #since = now();
  #lifeMs = null;
  #renewAt = RENEW_AT * (0.95 + 0.1 * Math.random());

  constructor(answer) {
    const { token, expiresIn } = isObject(answer) ? answer : { token: answer };
    if (token !== undefined && token !== null && !isText(token)) throw new TypeError("a provider answers with a token");
    this.token = token?.trim() || null;
    if (Number.isFinite(expiresIn)) this.livesFor(expiresIn);
  }

  livesFor(seconds) {
    this.#since = now();
    this.#lifeMs = seconds * 1000;
  }

  isOld() {
    return this.#lifeMs !== null && this.oldInMs() <= 0;
  }

  oldInMs() {
    return this.#lifeMs === null ? null : this.#since + this.#lifeMs * this.#renewAt - now();
  }

  endsInMs() {
    return this.#since + this.#lifeMs - now();
  }
}

/** The state that outlives connections: sequence numbers and unanswered requests. */
class Session {
  user = null;
  #key = null;
  /** The highest sequence number received and the highest sent. */
  #seen = 0;
  #sent = 0;
  #gaps = 0;
  /** What was received since the last acknowledgement. */
  #unacknowledged = { messages: 0, chars: 0 };
  /** Requests and pings that the server may not have received, by number. */
  #unanswered = new Map();
  #charsUnanswered = 0;
  #waiting = [];
  /** The highest number that the server has received. */
  #received = 0;
  #timeoutMs;

  constructor(timeoutMs) {
    this.#timeoutMs = timeoutMs;
  }

  /** Returns what is needed to resume the session, or null if there is no session. */
  resume() {
    if (this.#key === null) return null;
    this.#unacknowledged = { messages: 0, chars: 0 };
    return { key: this.#key, seen: this.#seen, sent: this.#sent };
  }

  begin(user, { key, resumed }) {
    this.user = user;
    const goesOn = this.#key !== null && isObject(resumed) && resumed.received <= this.#sent;
    this.#key = key;
    if (goesOn) {
      this.#received = resumed.received;
      return;
    }
    const sent = [...this.#unanswered.values()];
    this.#unanswered.clear();
    this.#charsUnanswered = this.#seen = this.#sent = this.#received = this.#gaps = 0;
    for (const { request } of sent) request?.reject(unanswered(true));
  }

  /** Returns the messages that the server has not received, in order, to send them again. */
  unanswered() {
    return [...this.#unanswered].filter(([r]) => r > this.#received).map(([, { text }]) => text);
  }

  /** Returns whether a message is the next one. If one is missing, the connection is replaced, once. */
  isNext(s) {
    if (s === this.#seen + 1) {
      this.#seen = s;
      this.#gaps = 0;
      return true;
    }
    this.#gaps += 1;
    // A gap twice in a row: resuming this session does not help.
    if (this.#gaps > 1) this.#key = null;
    return false;
  }

  request(t, d) {
    const { length } = new TextEncoder().encode(JSON.stringify({ t, d, r: Number.MAX_SAFE_INTEGER }));
    if (length > MESSAGE_BYTES) {
      return Promise.reject(new ChatCampError("TOO_LARGE", `a message has at most ${MESSAGE_BYTES} bytes`));
    }
    if (this.#waiting.length >= WAITING) {
      const message = "too many requests wait to be sent";
      return Promise.reject(new ChatCampError("TOO_MANY_WAITING", message, { retryable: true }));
    }
    return new Promise((resolve, reject) => {
      const request = { t, d: JSON.stringify(d), r: null };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== request);
        const mayHaveRun = request.r !== null;
        reject(new ChatCampError("TIMED_OUT", "no answer in time", { retryable: !mayHaveRun, mayHaveRun }));
      }, this.#timeoutMs);
      const settled = (settle) => (value) => {
        clearTimeout(timer);
        settle(value);
      };
      Object.assign(request, { resolve: settled(resolve), reject: settled(reject) });
      this.#waiting.push(request);
    });
  }

  /** Removes and returns the messages that may be sent now, as text. */
  sendable() {
    const texts = [];
    while (this.#waiting.length > 0 && this.#hasRoom()) {
      const request = this.#waiting.shift();
      request.r = this.#sent + 1;
      texts.push(this.#number(`{"t":${JSON.stringify(request.t)},"d":${request.d},"r":${request.r}}`, request));
    }
    return texts;
  }

  /** Counts a message. Returns whether to acknowledge now, so that the server need not keep more messages. */
  owesPing(chars) {
    const counted = this.#unacknowledged;
    counted.messages += 1;
    counted.chars += chars;
    return counted.messages >= ACKNOWLEDGED_MESSAGES || counted.chars >= ACKNOWLEDGED_CHARS;
  }

  ping() {
    this.#unacknowledged = { messages: 0, chars: 0 };
    return this.#number(JSON.stringify({ t: "ping", d: { seen: this.#seen }, r: this.#sent + 1 }), null);
  }

  answer(r, d) {
    const entry = this.#unanswered.get(r);
    if (!entry) return;
    this.#unanswered.delete(r);
    this.#charsUnanswered -= entry.text.length;
    if (!entry.request) return;
    if (d.ok === true) {
      const { ok, ...body } = d;
      entry.request.resolve(body);
    } else {
      const { code = "INVALID_ANSWER", message = "the answer is not what the protocol asks for", ...rest } = d.error ?? {};
      const options = { retryable: RETRYABLE.includes(code), retryAfterMs: asked(rest.retry_after_ms) };
      entry.request.reject(new ChatCampError(code, message, options));
    }
  }

  end() {
    for (const { request } of this.#unanswered.values()) request?.reject(unanswered(true));
    for (const request of this.#waiting) request.reject(unanswered(false));
    this.#unanswered.clear();
    this.#waiting = [];
  }

  #hasRoom() {
    const { size } = this.#unanswered;
    return size === 0 || (size < WINDOW && this.#charsUnanswered < WINDOW_CHARS);
  }

  #number(text, request) {
    this.#sent += 1;
    this.#unanswered.set(this.#sent, { text, request });
    this.#charsUnanswered += text.length;
    return text;
  }
}

function unanswered(mayHaveRun) {
  const options = { mayHaveRun, retryable: !mayHaveRun };
  return new ChatCampError("UNANSWERED", "the session ended before the answer came", options);
}

/** One attempt to connect: gets a credential, tries one or two transports, performs the handshake; ends as `done` or `failed`. */
class Attempt {
  #options;
  #host;
  #then;
  #link = null;
  #userId;
  #over = false;
  #timer = 0;

  constructor(options, host, userId, then) {
    this.#options = options;
    this.#host = host;
    this.#userId = userId;
    this.#then = then;
  }

  async run() {
    const { connectTimeoutMs } = this.#options;
    this.#timer = setTimeout(() => {
      const silent = this.#link ? this.#options.url.href : "the token provider";
      const message = `${silent} did not answer within ${connectTimeoutMs} ms`;
      this.#fail(new ChatCampError("TIMED_OUT", message, { advice: "retry" }));
    }, connectTimeoutMs);
    try {
      const hello = await this.#then.hello();
      if (!this.#over) this.#dial(hello, this.#transports());
    } catch (error) {
      this.#fail(error);
    }
  }

  drop(number) {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#link?.close(number, "");
  }

  #transports() {
    const { transport, webSocket } = this.#options;
    if (transport === "websocket") return [WebSocketCarrier];
    if (transport === "long-poll" || typeof webSocket !== "function") return [LongPollCarrier];
    return this.#host.prefersLongPoll() ? [LongPollCarrier, WebSocketCarrier] : [WebSocketCarrier, LongPollCarrier];
  }

  #dial(hello, [Carrier, ...others], isFallback = false) {
    let opening = 0;
    const link = new Link(Carrier, this.#options, this.#userId, hello, {
      opened: () => {
        clearTimeout(opening);
        this.#host.opened(Carrier.transport, isFallback);
      },
      greeted: (ack) => {
        if (this.#over) return;
        this.#over = true;
        clearTimeout(this.#timer);
        this.#then.done(link, ack);
      },
      ended: (error) => {
        clearTimeout(opening);
        if (this.#over) return;
        // Another transport helps only if this one did not open.
        if (others.length > 0 && !link.hasOpened) this.#dial(hello, others, true);
        else this.#fail(error);
      },
    });
    this.#link = link;
    if (others.length > 0) opening = setTimeout(() => link.abandon("it did not open in time"), OPENING_MS);
    link.start();
  }

  #fail(error) {
    if (this.#over) return;
    this.drop(GONE);
    this.#then.failed(error);
  }
}

/** One connection, from its first message to its end. */
class Link {
  hasOpened = false;
  #Carrier;
  #carrier = null;
  #options;
  #userId;
  #hello;
  #on;
  #isLive = false;
  #over = false;
  /** The times of the last message sent and received, and of the first message sent after the last one received. */
  #sentAt = now();
  #heardAt = now();
  #unheardSince = null;
  #heartbeatMs = HEARTBEAT_MS;
  /** The deadline of a check of the connection. */
  #doubtedUntil = null;
  /** Whether a silence during a suspension of the page was forgiven; once until the server answers. */
  #isForgiven = false;
  #timer = 0;
  #timerAt = Infinity;

  constructor(Carrier, options, userId, hello, on) {
    this.transport = Carrier.transport;
    this.#Carrier = Carrier;
    this.#options = options;
    this.#userId = userId;
    this.#hello = hello;
    this.#on = on;
  }

  /** Opens the connection and sends the first message. */
  start() {
    const sink = {
      ready: () => this.send(this.#hello),
      opened: () => this.#opened(),
      heard: () => this.#heard(),
      message: (text) => this.#onText(text),
      closed: (number, reason) => this.#end(numbered(number, reason) ?? this.#broken(reason, number)),
      refused: (message) => this.#end(this.hasOpened ? lost(message) : unreachable(message)),
    };
    try {
      this.#carrier = new this.#Carrier(this.#options, sink);
      this.#carrier.open();
    } catch (cause) {
      // For example a WebSocket without TLS in a page with TLS.
      this.#end(unreachable(unopened(this.#options.url), cause));
    }
  }

  /** Starts the heartbeat after the handshake. */
  live(heartbeat, on) {
    this.#on = on;
    this.#isLive = true;
    if (Number.isFinite(heartbeat) && heartbeat > 0) this.#heartbeatMs = heartbeat * 1000;
    this.#watch();
  }

  send(text) {
    if (this.#over) return;
    this.#sentAt = now();
    this.#unheardSince ??= this.#sentAt;
    this.#options.trace("sent", text);
    this.#carrier.send(text);
  }

  /** Checks the connection with a ping, without waiting for the next heartbeat; one check at a time. */
  probe() {
    if (!this.#isLive || this.#over || this.#doubtedUntil !== null) return;
    this.#doubtedUntil = now() + DOUBT_MS;
    this.#on.ping();
    this.#setTimer();
  }

  /** Closes the connection, which reports nothing more. Resolves once it is closed. */
  close(number, reason) {
    this.#silence();
    return this.#carrier?.close(number, reason) ?? Promise.resolve();
  }

  /** Closes the connection as lost. */
  abandon(why) {
    if (this.#over) return;
    this.#carrier?.close(GONE, why);
    this.#end(lost(why));
  }

  #opened() {
    if (this.#over || this.hasOpened) return;
    this.hasOpened = true;
    this.#on.opened();
  }

  #heard() {
    this.#heardAt = now();
    this.#unheardSince = this.#doubtedUntil = null;
    this.#isForgiven = false;
  }

  #onText(text) {
    if (this.#over) return;
    this.#heard();
    const envelope = parse(text);
    if (!envelope) return this.#endByViolation();
    this.#options.trace("received", text);
    const { t, d, to } = envelope;
    if (t === "session.close") return this.#endBy(d);
    if (this.#isLive) return this.#on.message(envelope, text.length);
    if (t !== "users.auth.ack" || to !== 1) return this.#endByViolation();
    if (d.ok === false && isObject(d.error)) return this.#endBy(d.error);
    if (d.ok !== true || !isObject(d.user) || !isText(d.session?.key)) return this.#endByViolation();
    if (d.user.id !== this.#userId) {
      this.#carrier.close(NORMAL, "");
      return this.#end(new ChatCampError("WRONG_USER", "the server answered for another user", { advice: "terminal" }));
    }
    this.#on.greeted(d);
  }

  /** Ends the connection with the server's reason. The server closes it; this side does not wait for that. */
  #endBy(words) {
    this.#carrier.drop();
    this.#end(announced(words));
  }

  /** Sends a ping if nothing was sent for a while, and ends the connection if the server does not answer. */
  #watch() {
    if (this.#over) return;
    const at = now();
    const isDead = at >= this.#deadAt();
    if (isDead) {
      // The answer may have arrived during a suspension of the page, and be delivered after this timer. Forgive that only once,
      // because the timers of a hidden page may always be late.
      const isLate = at - this.#timerAt >= LATE_MS;
      if (!isLate || this.#isForgiven) return this.abandon("nothing was heard from the server for too long");
      this.#isForgiven = true;
      this.#doubtedUntil = at + DOUBT_MS;
    }
    if (isDead || at - this.#sentAt >= this.#heartbeatMs) this.#on.ping();
    this.#setTimer();
  }

  #setTimer() {
    clearTimeout(this.#timer);
    if (this.#over) return;
    const inMs = Math.min(this.#sentAt + this.#heartbeatMs, this.#deadAt()) - now();
    this.#timerAt = now() + Math.max(inMs, 1);
    this.#timer = setTimeout(() => this.#watch(), this.#timerAt - now());
  }

  /** Returns when the server counts as dead. Silence counts only after an unanswered message. */
  #deadAt() {
    const silent = this.#unheardSince === null
      ? Infinity
      : Math.max(this.#heardAt + SILENCE_MS, this.#unheardSince + SILENCE_MS - HEARTBEAT_MS);
    return this.#isForgiven ? this.#doubtedUntil : Math.min(silent, this.#doubtedUntil ?? Infinity);
  }

  /** Ends the connection because of an invalid message. Before the first answer, the URL may be that of another service. */
  #endByViolation() {
    this.#carrier.close(GONE, VIOLATION);
    this.#end(this.#isLive ? lost(VIOLATION) : unreachable(foreign(this.#options.url)));
  }

  /** Returns the error of a connection that ended without a reason of the server. */
  #broken(reason, number) {
    const { url } = this.#options;
    const why = reason || (number && number !== ABNORMAL ? `close code ${number}` : "");
    if (!this.hasOpened && !why) return unreachable(unopened(url));
    const how = this.#isLive ? "broke" : "ended before the server answered";
    return lost(`the connection to ${url.href} ${how}${why && `: ${why}`}`);
  }

  #silence() {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #end(error) {
    if (this.#over) return;
    this.#silence();
    this.#on.ended(error);
  }
}

/** Parses an envelope; returns null if it is invalid. */
function parse(text) {
  const envelope = isText(text) ? json(text) : null;
  return isObject(envelope) && isText(envelope.t) && isObject(envelope.d) ? envelope : null;
}

/** Parses JSON; returns null if it is invalid. */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Carriers: `open` connects, `send` sends a message, `close` resolves once it is closed, `drop` closes without waiting. They call
// a sink: `ready` for the first message, `opened`, `heard`, `message`, and once, as the last call, `closed` with a close code and a
// reason, or `refused` with what is wrong with a response.

class WebSocketCarrier {
  static transport = "websocket";
  #socket;
  #sink;

  constructor({ url, webSocket: Socket }, sink) {
    this.#sink = sink;
    this.#socket = new Socket(url.href.replace(/^http/, "ws"));
  }

  open() {
    const [socket, sink] = [this.#socket, this.#sink];
    socket.onopen = () => {
      sink.opened();
      sink.ready();
    };
    socket.onmessage = ({ data }) => sink.message(data);
    socket.onclose = ({ code, reason }) => sink.closed(code, reason);
  }

  send(text) {
    this.#socket.send(text);
  }

  close(number, reason) {
    const socket = this.#socket;
    this.drop(number, reason);
    if (socket.readyState === CLOSED) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, CLOSING_MS);
      socket.onclose = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  drop(number = NORMAL, reason = "") {
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(number, reason);
  }
}

class LongPollCarrier {
  static transport = "long-poll";
  #options;
  #sink;
  #id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  #waiting = [];
  #posting = null;
  #polling = false;
  #over = false;
  #abort = new AbortController();

  constructor(options, sink) {
    this.#options = options;
    this.#sink = sink;
  }

  open() {
    this.#sink.ready();
  }

  send(text) {
    this.#waiting.push(text);
    this.#posting ??= this.#post();
  }

  async close(number, reason) {
    if (this.#over) return;
    this.drop();
    // Before its first answer the server may not know this connection, and the POST would open one.
    if (!this.#polling) return;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), CLOSING_MS);
    try {
      await this.#fetch("POST", JSON.stringify({ close: { code: number, reason } }), deadline.signal);
    } catch {
      // The server notices by a timeout.
    } finally {
      clearTimeout(timer);
    }
  }

  drop() {
    this.#over = true;
    this.#abort.abort();
  }

  /** Sends one POST at a time, with all waiting messages. */
  async #post() {
    while (this.#waiting.length > 0 && !this.#over) {
      await this.#exchange("POST", JSON.stringify(this.#waiting.splice(0)));
      if (!this.#polling && !this.#over) {
        this.#polling = true;
        this.#poll();
      }
    }
    this.#posting = null;
  }

  async #poll() {
    while (!this.#over) {
      const asked = now();
      const isEmpty = (await this.#exchange("GET")) === 0;
      if (isEmpty && now() - asked < HASTY_MS) await new Promise((resolve) => setTimeout(resolve, HASTY_MS));
    }
  }

  /** Sends a request and passes on the messages of its answer. Returns their number. A failure ends the connection. */
  async #exchange(method, body) {
    let response, text;
    try {
      response = await this.#fetch(method, body, this.#abort.signal);
      text = await response.text();
    } catch {
      return this.#end(() => this.#sink.closed(null, response && "a response was cut off"));
    }
    if (this.#over) return 0;
    const { status } = response;
    const answer = json(text);
    if (status !== 200 || !Array.isArray(answer) || !answer.every(isText)) return this.#end(() => this.#refused(status, answer));
    this.#sink.opened();
    this.#sink.heard();
    for (const text of answer) if (!this.#over) this.#sink.message(text);
    return answer.length;
  }

  #fetch(method, body, signal) {
    const headers = { "iflychat-token": this.#id, ...(body === undefined ? {} : { "content-type": "application/json" }) };
    // `no-store` also prevents a poll from waiting for another poll of the same URL.
    return this.#options.fetch(this.#options.url.href, {
      method, body, headers, signal, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
    });
  }

  /** Passes on a refusal: a close of the server, an error of the server that has a close code, or another response. */
  #refused(status, answer) {
    const { close, error } = isObject(answer) ? answer : {};
    const number = CODES[error?.code]?.[0];
    if (isObject(close)) this.#sink.closed(close.code, close.reason);
    else if (number) this.#sink.closed(number, error.message);
    else this.#sink.refused(foreign(this.#options.url, status));
  }

  /** Ends the connection and returns the number of messages received: none. */
  #end(report) {
    if (this.#over) return 0;
    this.drop();
    report();
    return 0;
  }
}

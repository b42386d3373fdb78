// A page with /chatcamp.js, observed from outside: its events, the messages it sends, and its connection attempts.

import assert from "node:assert/strict";
import { Proxy } from "../proxy.mjs";
import { DEADLINE_MS, Log, pause, within } from "../wait.mjs";

const CHAT_PATH = "/chat/2.0";
const ID_HEADER = "iflychat-token";

export class ClientPage {
  /** WebSockets, opened or not. */
  dials = new Log("WebSocket");
  /** Ids of long-poll connections. */
  longPolls = new Log("long poll");
  /** Envelopes by direction, over all connections. */
  sent = new Log("envelope from the page");
  received = new Log("envelope from the server");
  /** The close messages of long-poll connections. */
  closes = new Log("close");
  /** Ids of long-poll connections, one entry for each poll that the server answered without a message. */
  emptyPolls = new Log("poll without a message");
  #transport;
  #prefix;
  #uncaught = [];
  #refused = [];
  #isDown = false;

  /** Opens a page that loads the client from the server and can reach it by `world.transport` only. */
  static async open(world, { appId, options = {}, fakeClock = false }) {
    const self = new ClientPage();
    self.#transport = world.transport;
    self.#prefix = world.prefix ?? "";
    self.proxy = await Proxy.start(world.server, { upgrades: world.transport === "web_socket", prefix: world.prefix });
    self.proxy.refuses = (request) => self.#refuses(request);
    self.proxy.onRequest = (request) => self.#noteHttp(request);
    self.context = await world.browser.newContext();
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(DEADLINE_MS);
    self.page.on("pageerror", (error) => self.#uncaught.push(error));
    self.page.on("websocket", (socket) => self.#noteSocket(socket));
    if (fakeClock) await self.page.clock.install();
    await self.page.goto(new URL("empty", world.pageUrl).href);
    await self.page.evaluate(async ({ from, ...options }) => {
      const { ChatCamp } = await import(from);
      const plain = (error) => error && (({ code, message, advice, retryable, retryAfterMs, mayHaveRun }) =>
        ({ code, message, advice, retryable, retryAfterMs, mayHaveRun }))(error);
      const types = ["state", "connected", "reconnecting", "disconnected", "user", "token_expires", "event", "message"];
      const traced = [];
      const chat = new ChatCamp({ ...options, trace: (direction, text) => traced.push(text) });
      const told = Object.fromEntries(types.map((type) => [type, []]));
      for (const type of types) {
        chat.on(type, (detail) => {
          const { why, reason } = detail;
          told[type].push({ ...detail, ...(why && { why: plain(why) }), ...(reason && { reason: plain(reason) }) });
          if (type === "state") told.state.splice(-1, 1, detail);
        });
      }
      const outcome = (promise) => promise.then((value) => ({ error: null, value }), (error) => ({ error: plain(error) }));
      Object.assign(window, { ChatCamp, chat, told, traced, outcome, plain });
    }, { from: self.moduleUrl, appId, ...options });
    return self;
  }

  get moduleUrl() {
    return `http://127.0.0.1:${this.proxy.port}${this.#prefix}/chatcamp.js`;
  }

  /** Returns all attempts over the transport of this page. */
  get attempts() {
    return this.#transport === "web_socket" ? this.dials : this.longPolls;
  }

  async close() {
    await this.context.close();
    this.proxy.close();
  }

  /** Returns the outcome of `connect` as `{ error, value }`. */
  connect(userId, credential) {
    return this.run((userId, credential) => outcome(chat.connect(userId, credential ?? undefined)), userId, credential);
  }

  disconnect() {
    return this.run(() => outcome(chat.disconnect()));
  }

  request(type, body) {
    return this.run((type, body) => outcome(chat.request(type, body)), type, body);
  }

  /** Runs a function in the page, with a deadline. */
  run(body, ...given) {
    const code = `(${body})(...${JSON.stringify(given)})`;
    return within(DEADLINE_MS, "answer of the page", this.page.evaluate(code));
  }

  state() {
    return this.page.evaluate(() => chat.state);
  }

  async reached(state) {
    await this.page.waitForFunction((state) => chat.state === state, state);
  }

  /** Returns all events of this type once there are `count`. */
  async told(type, count = 1) {
    await this.page.waitForFunction(([type, count]) => told[type].length >= count, [type, count]);
    return this.page.evaluate((type) => told[type], type);
  }

  /** Waits until the client has processed a message of this type from the server; the proxy sees it before the client does. */
  async processed(type) {
    await this.page.waitForFunction((type) => traced.some((text) => JSON.parse(text).t === type), type);
  }

  /** Stops a fake clock, so that only the scenario advances it, however slow the machine is. */
  async stopClock() {
    await this.page.clock.pauseAt(await this.page.evaluate(() => Date.now()) + DEADLINE_MS);
  }

  /** Cuts the connection until the page has noticed. The browser repeats a cut poll, so the repeated poll is refused too. */
  async loseConnection() {
    const { length } = await this.page.evaluate(() => told.reconnecting);
    this.#refused = [...this.longPolls.entries];
    this.proxy.cut();
    await this.told("reconnecting", length + 1);
  }

  /** Removes and returns an uncaught exception that the scenario caused. */
  forgive(pattern) {
    this.#uncaught = this.#uncaught.filter((error) => !pattern.test(String(error)));
  }

  goDown() {
    this.#isDown = true;
    this.proxy.cut();
  }

  comeUp() {
    this.#isDown = false;
  }

  /** Asserts that the page sends nothing for `ms`. */
  async staysQuiet(ms) {
    const left = () => [this.dials, this.longPolls, this.sent].map((log) => log.length);
    const before = left();
    await pause(ms);
    assert.deepEqual(left(), before, "the page stays quiet");
  }

  acks(type) {
    return this.received.entries.filter(({ t }) => t === `${type}.ack`);
  }

  hellos() {
    return this.sent.entries.filter(({ t }) => t === "users.auth").map(({ d }) => d);
  }

  /** Fails if the page had an error that it did not report. */
  async assertSound() {
    assert.deepEqual(this.#uncaught.map(String), [], "no uncaught exception in the page");
    const traced = (await this.page.evaluate(() => traced)).join("\n");
    const secrets = [...this.hellos().map((d) => d.access_token), ...this.acks("users.auth").map(({ d }) => d.session?.key)];
    for (const secret of secrets.filter(Boolean)) {
      assert.ok(!traced.includes(secret) && !traced.includes(JSON.stringify(secret)), "no secret is traced");
    }
  }

  /** Describes what has happened so far, for people. */
  story() {
    const [sent, received] = [this.sent.entries, this.received.entries];
    return { dials: this.dials.length, longPolls: this.longPolls.entries, sent, received, closes: this.closes.entries };
  }

  #refuses({ method, target, headers: { [ID_HEADER]: id } }) {
    if (!target.startsWith(CHAT_PATH) || method === "OPTIONS") return false;
    if (this.#isDown) return true;
    return id !== undefined && (this.#transport === "web_socket" || this.#refused.includes(id));
  }

  #noteSocket(socket) {
    this.dials.push(socket.url());
    if (this.#transport !== "web_socket") return;
    socket.on("framesent", ({ payload }) => this.sent.push(JSON.parse(payload)));
    socket.on("framereceived", ({ payload }) => this.received.push(JSON.parse(payload)));
  }

  #noteHttp({ method, headers, body }) {
    const id = headers[ID_HEADER];
    if (id === undefined || method === "OPTIONS") return () => {};
    assert.equal(headers.cookie, undefined);
    if (!this.longPolls.entries.includes(id)) this.longPolls.push(id);
    if (method === "POST") {
      const said = JSON.parse(body);
      if (Array.isArray(said)) said.forEach((text) => this.sent.push(JSON.parse(text)));
      else this.closes.push(said.close);
    }
    return ({ status, body }) => {
      if (status !== 200) return;
      const messages = JSON.parse(body);
      messages.forEach((text) => this.received.push(JSON.parse(text)));
      if (method === "GET" && messages.length === 0) this.emptyPolls.push(id);
    };
  }
}

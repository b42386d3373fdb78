// Operates the page /try in a browser.

import assert from "node:assert/strict";
import { DEADLINE_MS } from "../wait.mjs";

const CHOICES = { web_socket: "websocket", long_poll: "long-poll" };

export class TryPage {
  #failures = [];

  static async open(world, { viewport = { width: 1280, height: 900 }, colorScheme = "light", hasTouch = false } = {}) {
    const self = new TryPage();
    self.context = await world.browser.newContext({ viewport, colorScheme, hasTouch });
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(DEADLINE_MS);
    self.page.on("pageerror", (error) => self.#failures.push(String(error)));
    self.page.on("console", (message) => {
      if (message.type() === "error") self.#failures.push(message.text());
    });
    self.page.on("response", (response) => {
      if (response.status() >= 400) self.#failures.push(`${response.status()} ${response.url()}`);
    });
    await self.page.goto(`http://${world.server}${world.prefix ?? ""}/try`);
    self.users = ["0", "1"].map((index) => new User(self.page.locator(`section[data-user="${index}"]`)));
    for (const user of self.users) await user.transport.selectOption(CHOICES[world.transport]);
    return self;
  }

  get appId() {
    return this.page.locator("#app-id");
  }

  /** Sets the user ids, so that scenarios do not interfere. */
  async name(...ids) {
    for (const [index, id] of ids.entries()) await this.users[index].id.fill(id);
  }

  async connectBoth() {
    await this.page.getByRole("button", { name: "Connect both" }).click();
    for (const user of this.users) await user.reaches("connected");
  }

  /** Fails if a script failed, or the content security policy blocked something. */
  assertSound() {
    assert.deepEqual(this.#failures, []);
  }

  async close() {
    await this.context.close();
  }

  story() {
    return this.#failures;
  }
}

class User {
  #root;

  constructor(root) {
    this.#root = root;
    this.id = root.getByLabel("User id");
    this.transport = root.getByLabel("Transport");
    this.token = root.getByLabel("Access token");
    this.text = root.getByLabel("Message to the other user");
    this.status = root.getByRole("status");
    this.cut = root.locator(".cut");
    this.wire = root.locator(".wire li");
    this.received = root.locator(".messages .others");
    this.sent = root.locator(".messages .own");
  }

  button(name) {
    return this.#root.getByRole("button", { name, exact: true });
  }

  async reaches(state) {
    await this.#root.locator(`.status[data-state="${state}"]`).waitFor();
  }

  async send(text) {
    await this.text.fill(text);
    await this.button("Send").click();
    await this.sent.last().locator("small", { hasText: /./ }).waitFor();
  }

  async showWire() {
    await this.#root.getByText("Wire log").click();
  }

  async receives(text) {
    await this.received.filter({ hasText: text }).waitFor();
  }
}

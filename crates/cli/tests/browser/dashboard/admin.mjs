// The dashboard, as its operator uses it.

import assert from "node:assert/strict";
import { DEADLINE_MS } from "../wait.mjs";

export class Admin {
  #failures = [];
  #world;

  /** Opens the dashboard; signed in by the password, unless `signsIn` is false. */
  static async open(world, { signsIn = true, ...options } = {}) {
    const self = new Admin();
    self.#world = world;
    self.context = await world.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    await self.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(DEADLINE_MS);
    self.page.on("pageerror", (error) => self.#failures.push(String(error)));
    self.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) self.#failures.push(message.text());
    });
    self.page.on("request", (request) => {
      if (new URL(request.url()).host !== world.server) self.#failures.push(`strayed to ${request.url()}`);
    });
    if (signsIn) {
      await self.go("/dashboard/");
      await self.page.getByLabel("Admin password").fill(world.dashboardPassword);
      // All sign in at once, and hashing a password takes long in a build without optimisation.
      await self.page.getByRole("button", { name: "Sign in" }).click({ timeout: 3 * DEADLINE_MS });
      await self.page.getByRole("heading", { name: "Apps" }).waitFor();
    }
    return self;
  }

  go(path) {
    return this.page.goto(new URL(path, `http://${this.#world.server}`).href);
  }

  /** A page of the development app. */
  async part(name) {
    await this.go(`/dashboard/app?app=${this.#world.openApp}`);
    if (name !== "Connect") await this.page.getByRole("link", { name, exact: true }).click();
  }

  button(name) {
    return this.page.getByRole("button", { name, exact: true });
  }

  /** Creates a user with the page's form; the token that it shows. */
  async createUser(id, name) {
    await this.part("Users");
    const form = this.page.locator("details", { hasText: "New user with access token" });
    if (await form.getAttribute("open") === null) await form.locator("summary").click();
    await this.page.getByLabel("User id").fill(id);
    await this.page.getByLabel("Display name").fill(name);
    await this.button("Create user").click();
    return this.page.locator(".note .copyable code").innerText();
  }

  /** The live session of a user, on a page that shows them. */
  session(id) {
    return this.page.locator("[data-live] tbody tr").filter({ has: this.page.getByRole("link", { name: id, exact: true }) });
  }

  said() {
    return this.page.locator(".note").innerText();
  }

  /** Takes back a failure that the scenario brought about. */
  forgive(pattern) {
    this.#failures = this.#failures.filter((failure) => !pattern.test(failure));
  }

  /** Fails if the page broke, or its own rules kept something from it. */
  assertSound() {
    assert.deepEqual(this.#failures, []);
  }

  async close() {
    await this.context.close();
  }

  story() {
    return { at: this.page.url(), failures: this.#failures };
  }
}

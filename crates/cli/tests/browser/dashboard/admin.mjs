// Operates the dashboard in a browser.

import assert from "node:assert/strict";
import { DEADLINE_MS } from "../wait.mjs";

export class Admin {
  #failures = [];
  #world;

  /** Opens the dashboard, and signs in with the password unless `signsIn` is false. */
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
      if (new URL(request.url()).host !== world.server) self.#failures.push(`request to another host: ${request.url()}`);
    });
    if (signsIn) {
      await self.go("/dashboard/");
      await self.page.getByLabel("Admin password").fill(world.dashboardPassword);
      // All scenarios sign in at once, and the server checks one password at a time.
      await self.page.getByRole("button", { name: "Sign in" }).click({ timeout: 3 * DEADLINE_MS });
      await self.page.getByRole("heading", { name: "Apps" }).waitFor();
    }
    return self;
  }

  go(path) {
    return this.page.goto(`http://${this.#world.server}${this.#world.prefix ?? ""}${path}`);
  }

  /** Opens a tab of the development app. */
  async part(name) {
    await this.go(`/dashboard/app?app=${this.#world.openApp}`);
    if (name !== "Connect") await this.page.getByRole("link", { name, exact: true }).click();
  }

  button(name) {
    return this.page.getByRole("button", { name, exact: true });
  }

  /** Creates a user with the page's form; returns the token that the page shows. */
  async createUser(id, name) {
    await this.part("Users");
    const form = this.page.locator("details", { hasText: "New user with access token" });
    if (await form.getAttribute("open") === null) await form.locator("summary").click();
    await form.getByLabel("User id").fill(id);
    await form.getByLabel("Display name").fill(name);
    await this.button("Create user").click();
    return this.page.locator(".flash .copyable code").innerText();
  }

  /** Returns the live session of a user, on a page that lists sessions. */
  session(id) {
    return this.page.locator("[data-live] tbody tr").filter({ has: this.page.getByRole("link", { name: id, exact: true }) });
  }

  /** Returns the flash message. */
  flash() {
    return this.page.locator(".flash").innerText();
  }

  /** Ignores failures that the scenario causes on purpose. */
  ignore(pattern) {
    this.#failures = this.#failures.filter((failure) => !pattern.test(failure));
  }

  /** Fails if a script failed, or the content security policy blocked something. */
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

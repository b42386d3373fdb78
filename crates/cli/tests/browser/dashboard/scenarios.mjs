// Scenarios of an operator.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { backend } from "../backend.mjs";
import { lowContrast } from "./contrast.mjs";

export async function a_new_operator_creates_a_user_and_watches_its_session(world) {
  const admin = await world.open();
  const id = `${world.transport}-nora`;
  await admin.page.getByRole("link", { name: "dev", exact: true }).click();
  await admin.button("Copy APP_ID").click();
  await admin.page.getByText("Copied").waitFor();
  assert.equal(await admin.page.evaluate(() => navigator.clipboard.readText()), world.openApp);

  const token = await admin.createUser(id, "Nora <b>");
  assert.match(token, /^ct1_/);
  assert.equal(await admin.page.getByRole("heading", { name: "Nora <b>" }).count(), 1);
  await admin.page.reload();
  assert.ok(!(await admin.page.content()).includes(token), "the token is shown once");

  await admin.part("Sessions");
  const client = await world.open({ client: true });
  assert.equal((await client.connect(id, token)).error, null);
  await admin.session(id).waitFor();
  await admin.page.getByText("Updates automatically.").waitFor();

  await admin.page.getByLabel("To").fill(id);
  await admin.page.getByLabel("Type").fill("greeting");
  await admin.page.getByLabel("Data").fill('{"text": "hello Nora 🏕"}');
  await admin.button("Publish").click();
  assert.equal(await admin.flash(), "Delivered to 1 session.");
  const [event] = await client.told("event");
  assert.match(JSON.stringify(event), /"greeting".*hello Nora 🏕/);

  await admin.session(id).getByRole("button", { name: `End the session of ${id}` }).click();
  await client.told("disconnected");
  assert.match(await admin.flash(), /The session was ended/);
  await admin.session(id).waitFor({ state: "detached" });

  assert.equal((await client.connect(id, token)).error, null);
  await admin.session(id).waitFor();
  await client.disconnect();
  await admin.session(id).waitFor({ state: "detached" });
}

export async function the_link_of_dev_signs_in_once(world) {
  const admin = await world.open({ signsIn: false });
  await admin.page.goto(world.dashboardLink);
  await admin.page.reload();
  await admin.button("Sign in").click();
  await admin.page.getByRole("heading", { name: "Apps" }).waitFor();
  await admin.button("Sign out").click();
  await admin.page.getByLabel("Admin password").waitFor();
  const { status, text } = await admin.page.evaluate(async (link) => {
    const secret = link.split("/").at(-1);
    const body = new URLSearchParams({ secret });
    const answer = await fetch("/dashboard/enter", { method: "POST", body });
    return { status: answer.status, text: await answer.text() };
  }, world.dashboardLink).finally(() => admin.ignore(/403/));
  assert.equal(status, 403);
  assert.match(text, /This link was already used/);
}

export async function a_user_is_suspended_and_restored_without_the_script(world) {
  const admin = await world.open({ javaScriptEnabled: false });
  const id = `${world.transport}-plain`;
  assert.match(await admin.createUser(id, ""), /^ct1_/);
  await admin.button("Suspend").click();
  assert.match(await admin.flash(), /^The user was suspended/);
  await admin.button("Restore").click();
  assert.match(await admin.flash(), /^The user was restored/);
  await admin.page.getByText("Delete user…").click();
  await admin.button("Delete permanently").click();
  assert.equal(await admin.flash(), `The user ${id} was deleted.`);
  assert.equal(await admin.page.locator("button[data-copy]:visible").count(), 0, "buttons that need the script are hidden");
}

export async function a_refused_origin_is_copied_into_the_list_and_accepted(world) {
  const { app } = world.shops[world.transport];
  const origin = new URL(world.pageUrl).origin;
  const client = await world.open({ client: true, appId: app });
  assert.equal((await client.connect("olga")).error.code, "ORIGIN_REFUSED");

  const admin = await world.open();
  await admin.go(`/dashboard/app?app=${app}`);
  await admin.page.getByRole("link", { name: "1 refused origin" }).click();
  await admin.button(`Copy ${origin}`).click();
  await admin.page.getByText("Copied").waitFor();
  assert.equal(await admin.page.evaluate(() => navigator.clipboard.readText()), origin);

  const origins = admin.page.getByLabel("Origins of web pages");
  assert.equal(await origins.inputValue(), "https://shop.example");
  await origins.press("Control+End");
  await origins.press("Enter");
  await origins.press("Control+v");
  await admin.button("Save").click();
  assert.equal(await admin.flash(), "Saved.");
  assert.equal(await origins.inputValue(), `https://shop.example\n${origin}`);
  assert.equal((await client.connect("olga")).error, null);
}

export async function everything_is_done_by_keyboard(world) {
  const admin = await world.open();
  const { page } = admin;
  const { keyboard } = page;
  await admin.part("Connect");
  await keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await keyboard.press("Enter");
  const reached = [];
  for (let presses = 0; presses < 30; presses += 1) {
    await keyboard.press("Tab");
    const [name, outline] = await page.evaluate(() => {
      const at = document.activeElement;
      const shown = at.matches("input[type=radio]") ? document.querySelector(`label[for="${at.id}"]`) : at;
      return [at.getAttribute("aria-label") ?? at.id ?? "", getComputedStyle(shown).outlineStyle];
    });
    reached.push(name);
    if (await page.evaluate(() => document.activeElement !== document.body)) assert.equal(outline, "solid", `${name} has a visible focus`);
  }
  for (const name of ["Copy APP_ID", "Copy Chat URL", "snippet-module", "Copy the code: Web page"]) {
    assert.ok(reached.includes(name), `${name} is reached: ${reached}`);
  }
  await page.locator("#snippet-module").focus();
  await keyboard.press("ArrowRight");
  await page.getByText("compat.js").waitFor();

  const id = `${world.transport}-kay`;
  await admin.part("Users");
  const form = page.locator("summary", { hasText: "New user" });
  if (await page.getByLabel("User id").isHidden()) {
    await form.focus();
    await keyboard.press("Enter");
  }
  await page.getByLabel("User id").focus();
  await keyboard.type(id);
  await keyboard.press("Enter");
  await page.getByText("The user was created.").waitFor();
  await page.locator("summary", { hasText: "Delete user" }).focus();
  await keyboard.press("Enter");
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await page.getByText(`The user ${id} was deleted.`).waitFor();
}

export async function a_profile_is_edited_and_an_error_stands_beside_its_field(world) {
  const admin = await world.open();
  const { page } = admin;
  const id = `${world.transport}-eve`;
  await admin.createUser(id, "Eve");
  await page.locator("summary", { hasText: "Edit profile" }).click();
  await page.getByLabel("Display name").fill("Eve M");
  await page.getByLabel("Metadata a JSON object").fill('{"plan": ');
  await admin.button("Save profile").click();
  assert.match(await page.locator("#profile-metadata-error").innerText(), /^metadata is not valid JSON/);
  assert.equal(await page.getByLabel("Display name").inputValue(), "Eve M", "what was entered is kept");
  await page.getByLabel("Metadata a JSON object").fill('{"plan": "pro", "seats": {"used": 3}}');
  await admin.button("Save profile").click();
  assert.equal(await admin.flash(), "The profile was saved.");
  assert.equal(await page.getByRole("heading", { name: "Eve M" }).count(), 1);
  assert.equal(await page.locator(".metadata dd").first().innerText(), "pro");
}

export async function users_are_filtered_and_searched(world) {
  const admin = await world.open();
  const { page } = admin;
  const id = `${world.transport}-filtered`;
  await admin.createUser(id, "Anna Maria");
  await admin.part("Users");
  await page.getByPlaceholder("Part of an id or name").fill(id.toUpperCase());
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: id }).waitFor();
  await page.getByRole("link", { name: "Suspended", exact: true }).click();
  await page.getByText(/^0 of /).waitFor();
  await page.getByRole("link", { name: "Token required", exact: true }).click();
  await page.getByRole("link", { name: id }).click();
  await admin.button("Suspend").click();
  assert.match(await admin.flash(), /^The user was suspended/);
}

export async function pages_fit_a_phone(world) {
  await assertPagesFit(world, "phone", { width: 360, height: 780 });
}

export async function pages_fit_a_wide_screen(world) {
  await assertPagesFit(world, "wide", { width: 1280, height: 900 });
}

/** Opens every page in both colour schemes. Two scenarios prepare the same users, so these are created or changed. */
async function assertPagesFit(world, size, viewport) {
  const folder = process.env.CHATCAMP_SCREENSHOTS;
  if (folder) await mkdir(folder, { recursive: true });
  const first = await world.open();
  const name = "Pia with a name that is longer than most, as some are";
  await backend(world, "users.upsert", { id: "pia", display_name: name, metadata: { plan: "pro", seats: { used: 3, of: 5 }, note: "likes\nlines" } });
  for (let n = 0; n < 45; n += 1) await backend(world, "users.upsert", { id: `user-${String(n).padStart(3, "0")}`, display_name: `Person ${n}` });
  const client = await world.open({ client: true });
  await client.connect("quentin@example.com");
  const long = "w".repeat(120);
  const other = await world.open({ client: true });
  await other.connect(long);
  const stranger = await world.open({ client: true, appId: world.shops.screenshots.app });
  await stranger.connect("olga");
  await backend(world, "users.upsert", { id: "mallory\u202Egnp.eciov", display_name: "\u3164" });
  const storageState = await first.context.storageState();
  const at = (page, more = "") => `/dashboard/${page}?app=${world.openApp}${more}`;
  const pages = {
    overview: "/dashboard/",
    app: at("app"),
    users: at("users"),
    more: at("users", "&page=2&show=token-required"),
    nomatch: at("users", "&q=zzz"),
    user: at("user", "&id=pia"),
    live: at("live"),
    settings: at("settings"),
    shop: `/dashboard/app?app=${world.shops.screenshots.app}`,
    origins: `/dashboard/settings?app=${world.shops.screenshots.app}`,
    email: at("user", "&id=quentin@example.com"),
    long: at("user", `&id=${long}`),
    bidi: at("user", "&id=mallory%E2%80%AEgnp.eciov"),
    missing: at("user", "&id=nobody"),
  };
  const signedOut = { signin: "/dashboard/sign-in", link: new URL(world.dashboardLink).pathname, usedlink: "/dashboard/enter/x" };
  for (const colorScheme of ["light", "dark"]) {
    const options = { signsIn: false, viewport, colorScheme, hasTouch: size === "phone" };
    const admin = await world.open({ ...options, storageState });
    const anyone = await world.open(options);
    const visits = [...Object.entries(pages).map((page) => [admin, ...page]), ...Object.entries(signedOut).map((page) => [anyone, ...page])];
    for (const [visitor, name, path] of visits) {
      await visitor.go(path);
      if (folder) {
        await visitor.page.screenshot({ path: `${folder}/dashboard-${size}-${colorScheme}-${name}.png`, fullPage: true });
      }
      await assertFits(visitor.page, name, size);
      assert.deepEqual(await visitor.page.evaluate(lowContrast), [], `${name} ${colorScheme}: text has a contrast of 4.5`);
    }
    for (const visitor of [admin, anyone]) visitor.ignore(/status of 40[34]/);
  }
}

async function assertFits(page, name, size) {
  const { inner, scroll } = await page.evaluate(() =>
    ({ inner: window.innerWidth, scroll: document.documentElement.scrollWidth }));
  assert.ok(scroll <= inner, `${name}: nothing is wider than the screen: ${scroll} in ${inner}`);
  const broken = await page.evaluate(() => [...document.querySelectorAll(".sessions td[data-label]")]
    .filter((cell) => {
      const text = document.createRange();
      text.selectNodeContents(cell);
      return text.getBoundingClientRect().height > 36;
    })
    .map((cell) => cell.textContent));
  assert.deepEqual(broken, [], `${name}: long ids do not make other columns too narrow`);
  const covered = await page.evaluate(() => [...document.querySelectorAll(".sessions tbody tr")].filter((row) => {
    const text = document.createRange();
    text.selectNodeContents(row.querySelector("[data-label=Since]"));
    const [since, end] = [text.getBoundingClientRect(), row.querySelector(".act button").getBoundingClientRect()];
    return since.right > end.left && since.top < end.bottom && since.bottom > end.top;
  }).length);
  assert.equal(covered, 0, `${name}: no button covers the text beside it`);
  const narrow = await page.evaluate(() => [...document.querySelectorAll(".trail a, p.facts a, .list a, .filters a, .links a")]
    .filter((link) => link.getBoundingClientRect().height < 24).map((link) => link.textContent));
  assert.deepEqual(narrow, [], `${name}: every separate link is large enough for touch`);
  // Rows of tables are dense where there is a mouse: their buttons have the smallest size that WCAG 2.2 accepts.
  const small = await page.evaluate((isWide) => [...document.querySelectorAll("button, input, select, summary")]
    .filter((control) => control.checkVisibility() && !control.matches(".visually-hidden, [type=radio], [type=checkbox]"))
    .filter((control) => control.getBoundingClientRect().height < (isWide && control.matches(".act button") ? 24 : 36))
    .map((control) => control.name || control.textContent), size === "wide");
  assert.deepEqual(small, [], `${name}: every control is large enough for touch`);
  if (size !== "wide") return;
  const tall = await page.evaluate(() => [...document.querySelectorAll(".list tr")]
    .filter((row) => row.getBoundingClientRect().height > 32).map((row) => row.textContent));
  assert.deepEqual(tall, [], `${name}: every row of a table is one line`);
}

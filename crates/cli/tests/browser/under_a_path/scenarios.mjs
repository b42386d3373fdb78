// Scenarios of an operator and of web pages that reach the server under a path.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { withPublicUrl } from "./own_server.mjs";

async function screenshot({ page }, name) {
  const folder = process.env.CHATCAMP_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/under-a-path-${name}.png`, fullPage: true });
}

export async function the_dashboard_signs_in_works_and_signs_out(world) {
  const admin = await world.open({ kind: "dashboard", signsIn: false });
  const { page } = admin;
  for (const path of ["/", "/dashboard", "/dashboard/", `/dashboard/users?app=${world.openApp}`]) {
    await admin.go(path);
    await page.getByLabel("Admin password").waitFor();
  }
  await page.getByLabel("Admin password").fill(world.dashboardPassword);
  await page.getByRole("button", { name: "Sign in" }).click();
  // The page that was asked for before the sign-in.
  await page.getByRole("link", { name: "Users", exact: true }).and(page.locator("[aria-current=page]")).waitFor();
  const [cookie] = await admin.context.cookies();
  assert.equal(cookie.path, "/talk/dashboard", "other programs on this host do not receive the cookie");

  const id = `${world.transport}-path`;
  await admin.createUser(id, "Paula");
  await admin.button("Suspend").click();
  assert.match(await admin.flash(), /^The user was suspended/);
  await admin.button("Restore").click();
  assert.match(await admin.flash(), /^The user was restored/);

  await admin.part("Sessions");
  const client = await world.open({ kind: "client", appId: world.openApp });
  const lively = `${world.transport}-lively`;
  assert.equal((await client.connect(lively)).error, null);
  // The script has reloaded the table; its links lead to the same pages as those of the first table.
  await admin.session(lively).waitFor();
  await page.getByRole("link", { name: lively, exact: true }).click();
  await page.getByRole("heading", { name: lively }).waitFor();
  await admin.button(`End the session of ${lively}`).click();
  await client.told("disconnected");
  assert.match(await admin.flash(), /The session was ended/);
  await page.getByRole("link", { name: "Settings", exact: true }).click();
  await page.getByRole("heading", { name: "API keys" }).waitFor();
  await screenshot(admin, `dashboard-${world.transport}`);

  assert.equal((await admin.go("/dashboard/no/such/page")).status(), 404);
  admin.ignore(/404/);
  const sheets = await page.evaluate(() => [...document.styleSheets].map(({ cssRules }) => cssRules.length > 0));
  assert.deepEqual(sheets, [true], "the page of an error has its style");
  await page.getByRole("link", { name: "Overview", exact: true }).click();
  await page.getByRole("heading", { name: "Apps" }).waitFor();
  await admin.button("Sign out").click();
  await page.getByLabel("Admin password").waitFor();
  assert.deepEqual(await admin.context.cookies(), []);
  assert.deepEqual(admin.proxy.strays, [], "no request left the path");
}

export async function code_to_copy_from_the_dashboard_connects(world) {
  const admin = await world.open({ kind: "dashboard" });
  await admin.part("Connect");
  // Scenarios that run at once share one clipboard.
  const code = await admin.button("Copy the code: Web page").getAttribute("data-copy");
  const shown = await admin.page.getByLabel("Code: Web page", { exact: true }).innerText();
  assert.equal(shown.trim(), code.trim(), "what is copied is what is shown");
  const elsewhere = await admin.context.newPage();
  await elsewhere.goto(new URL("empty", world.pageUrl).href);
  const [, module] = code.match(/<script type="module">(.*)<\/script>/s);
  const said = elsewhere.waitForEvent("console", (message) => message.type() === "log");
  await elsewhere.addScriptTag({ type: "module", content: module });
  assert.equal(await (await said).text(), "connected as alice");
  const url = `http://127.0.0.1:${admin.proxy.port}/talk`;
  assert.equal(await admin.button("Copy Chat URL").getAttribute("data-copy"), url);
  await admin.part("Sessions");
  assert.equal(await admin.page.locator("[data-live]").getAttribute("data-live"), `../dashboard/live-sessions?app=${world.openApp}`);
  assert.deepEqual(admin.proxy.strays, [], "no request left the path");
}

export async function both_users_of_the_try_page_connect(world) {
  const page = await world.open({ kind: "try" });
  await talk(world, page);
  await screenshot(page, `try-${world.transport}`);
  await page.page.goto(`http://127.0.0.1:${page.proxy.port}/talk/try/`);
  assert.equal(page.page.url(), `http://127.0.0.1:${page.proxy.port}/talk/try`);
  for (const name of ["chatcamp.js", "chatcamp.d.ts"]) {
    const link = await page.page.getByRole("link", { name, exact: true }).evaluate(({ href }) => href);
    assert.equal(link, `http://127.0.0.1:${page.proxy.port}/talk/${name}`);
  }
  assert.deepEqual(page.proxy.strays, [], "no request left the path");
}

async function talk(world, page) {
  const [alice, bob] = page.users;
  await page.name(`${world.transport} alice`, `${world.transport} bob`);
  await page.connectBoth();
  await alice.send("hello Bob");
  await bob.receives("hello Bob");
  assert.equal(await alice.sent.locator("small").innerText(), "delivered");
}

export async function the_web_client_dials_where_it_was_loaded_from(world) {
  const page = await world.open({ kind: "client", appId: world.openApp });
  const { error, value: user } = await page.connect("wanda");
  assert.equal(error, null);
  assert.equal(user.id, "wanda");
  await page.loseConnection();
  await page.told("connected", 2);
  const named = await page.request("users.update", { display_name: "Wanda" });
  assert.equal(named.error, null);
  await page.disconnect();
  assert.deepEqual(page.proxy.strays, [], "no request left the path");
}

export async function the_published_sdk_connects_through_the_compat_script(world) {
  const page = await world.open({ kind: "sdk", appId: world.openApp, hosted: true });
  const { error, user } = await page.connect("hanna");
  assert.equal(error, null);
  assert.equal(user.id, "hanna");
  await page.loseConnection();
  await page.changed(3);
  const named = await page.updateDisplayName("Hanna");
  assert.equal(named.user.displayName, "Hanna");
  assert.equal(page.attempts.length, 2);
  assert.deepEqual(page.proxy.strays, [], "no request left the path");
}

export async function a_server_with_a_public_url_needs_no_proxy_that_removes_the_path(world) {
  await withPublicUrl(world.binary, "/talk", async ({ proxy, url, ready, password }) => {
    assert.equal(ready.url, url);
    assert.ok(ready.dashboard.startsWith(`${url}/dashboard/enter/`), ready.dashboard);
    // As nginx does unless it is told otherwise, the proxy names the server by its own address.
    proxy.rewriteHead = (head) => head.replace(/^host:.*$/im, `Host: ${ready.listening}`);
    const admin = await world.open({ kind: "dashboard", proxy, signsIn: false });
    await admin.page.goto(ready.dashboard);
    await admin.button("Sign in").click();
    await admin.page.getByRole("heading", { name: "Apps" }).waitFor();
    await admin.page.getByRole("link", { name: "dev", exact: true }).click();
    await admin.page.getByText(`import { ChatCamp } from "${url}/chatcamp.js"`).waitFor();
    await admin.button("Sign out").click();
    for (const path of ["", "/", "/dashboard"]) {
      await admin.page.goto(url + path);
      await admin.page.getByLabel("Admin password").waitFor();
    }
    await admin.page.getByLabel("Admin password").fill(password);
    await admin.button("Sign in").click();
    await admin.page.getByRole("heading", { name: "Apps" }).waitFor();
    const page = await world.open({ kind: "try", proxy });
    await talk(world, page);
    for (const opened of [admin, page]) {
      await opened.page.goto("about:blank");
      opened.assertSound();
    }
    assert.deepEqual(proxy.strays, [], "no request left the path");
  });
}

// Scenarios of a first-time user of ChatCamp.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { backend } from "../backend.mjs";

export async function both_users_connect_and_receive_messages(world) {
  const page = await world.open();
  assert.equal(await page.appId.inputValue(), world.openApp, "the app id of `chatcamp dev` is filled in");
  const [alice, bob] = page.users;
  await page.name(`${world.transport} alice`, `${world.transport} bob`);
  await page.connectBoth();
  await alice.send("hello Bob 🦀");
  await bob.receives("hello Bob 🦀");
  await bob.send("<b>hello</b> Alice");
  await alice.receives("<b>hello</b> Alice");
  assert.equal(await alice.sent.locator("small").innerText(), "delivered");
  const wire = (await alice.wire.allInnerTexts()).join("\n");
  assert.match(wire, /"users\.auth"/);
  assert.match(wire, /"app\.event\.pub"/);
  assert.match(wire, /"key":"…"/, "the session's key is not shown");
}

export async function users_of_a_backend_do_not_block_the_page(world) {
  for (const id of ["alice", "bob"]) await backend(world, "users.upsert", { id });
  const page = await world.open();
  const ids = () => Promise.all(page.users.map(({ id }) => id.inputValue()));
  const before = await ids();
  await page.connectBoth();
  await page.page.reload();
  for (const id of await ids()) assert.ok(!before.includes(id), `${id} is new`);
}

export async function a_cut_connection_resumes(world) {
  const page = await world.open();
  const [alice, bob] = page.users;
  await page.name(`${world.transport} cut`, `${world.transport} other`);
  await page.connectBoth();
  await alice.cut.click();
  await alice.reaches("reconnecting");
  await bob.send("are you there?");
  await bob.send("hello?");
  await alice.reaches("connected");
  await bob.send("welcome back");
  await alice.receives("welcome back");
  assert.equal(await bob.status.getAttribute("data-state"), "connected", "the other connection is not affected");
  const notes = (await alice.wire.allInnerTexts()).join("\n");
  assert.match(notes, /connection cut[^]*retrying[^]*network restored[^]*connected over/);
  // How many of the two were sent before the network was restored depends on the machine; none may be lost or repeated.
  assert.match(notes, /session resumed, messages replayed: [0-2]/);
  assert.deepEqual(await alice.received.locator("span").allInnerTexts(), ["are you there?", "hello?", "welcome back"]);
}

export async function a_token_is_accepted_and_never_shown(world) {
  const id = `${world.transport} tamara`;
  const { access_token: token } = await backend(world, "users.create", { id });
  const page = await world.open();
  const [tamara] = page.users;
  await page.name(id);
  await tamara.button("Connect").click();
  await tamara.reaches("refused");
  await tamara.token.fill(token);
  await tamara.button("Connect").click();
  await tamara.reaches("connected");
  const shown = await page.page.locator("body").innerText();
  assert.ok(!shown.includes(token), "the page does not contain the token");
  assert.match(shown, /"access_token":"…"/);
}

export async function a_refusal_shows_the_reason(world) {
  const page = await world.open();
  const [alice] = page.users;
  await page.name(`${world.transport} ada`, "offline user");
  await page.appId.fill("no-such-app");
  await alice.button("Connect").click();
  await alice.reaches("refused");
  assert.match(await alice.status.innerText(), /no app has this app id/);
  await page.appId.fill(world.openApp);
  await alice.button("Connect").click();
  await alice.reaches("connected");
  await alice.send("is anybody there?");
  assert.match(await alice.sent.locator("small").innerText(), /is not connected/);
  await alice.button("Disconnect").click();
  await alice.reaches("disconnected");
}

export async function everything_is_done_by_keyboard(world) {
  const page = await world.open();
  const { keyboard } = page.page;
  const [alice, bob] = page.users;
  await page.name(`${world.transport} kim`, `${world.transport} kai`);
  await alice.id.focus();
  await keyboard.press("Enter");
  await alice.reaches("connected");
  const reached = [];
  for (let presses = 0; presses < 20 && !reached.includes("user-1"); presses += 1) {
    await keyboard.press("Tab");
    reached.push(await page.page.evaluate(() => document.activeElement.textContent || document.activeElement.id));
  }
  for (const name of ["Connect again", "Disconnect", "Cut connection", "text-0", "Send", "user-1"]) {
    assert.ok(reached.some((found) => found.trim() === name), `${name} is reached: ${reached.map((text) => text.slice(0, 20))}`);
  }
  await bob.id.focus();
  await keyboard.press("Enter");
  await bob.reaches("connected");
  await alice.text.focus();
  await keyboard.type("by hand");
  await keyboard.press("Enter");
  await bob.receives("by hand");
}

export async function the_page_fits_a_phone_and_a_wide_screen(world) {
  const folder = process.env.CHATCAMP_SCREENSHOTS;
  if (folder) await mkdir(folder, { recursive: true });
  const sizes = { phone: { width: 390, height: 844 }, wide: { width: 1280, height: 900 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await world.open({ viewport, colorScheme, hasTouch: size === "phone" });
      const picture = (name, options) =>
        folder && page.page.screenshot({ path: `${folder}/try-${size}-${colorScheme}-${name}.png`, ...options });
      await picture("empty");
      const [alice, bob] = page.users;
      await page.connectBoth();
      await alice.send("Hello Bob, did the parcel arrive?");
      await bob.send("Yes, this morning. Thank you!");
      await alice.receives("this morning");
      assert.equal(await page.page.locator("button.connect.primary").count(), 0, "a connected user has no primary button");
      const edges = await page.page.evaluate(() => ["#connect-both", "section.user"]
        .map((selector) => Math.round(document.querySelector(selector).getBoundingClientRect().right)));
      if (size === "phone") assert.equal(edges[0], edges[1], "the header is as wide as the cards");
      await bob.cut.click();
      await bob.reaches("reconnecting");
      await picture("talking", { fullPage: true });
      // The README shows this one.
      if (size === "wide") await picture("users", { clip: { x: 0, y: 0, width: viewport.width, height: 650 } });
      if (size === "phone") await bob.showWire();
      await picture("wire", { fullPage: true });
      const { inner, scroll } = await page.page.evaluate(() =>
        ({ inner: window.innerWidth, scroll: document.documentElement.scrollWidth }));
      assert.ok(scroll <= inner, `nothing is wider than the screen: ${scroll} in ${inner}`);
      const small = await page.page.evaluate(() => [...document.querySelectorAll("button, input, select")]
        .filter((control) => control.getBoundingClientRect().height < 40).map((control) => control.id || control.textContent));
      assert.deepEqual(small, [], "every control is large enough for touch");
      await bob.reaches("connected");
    }
  }
}

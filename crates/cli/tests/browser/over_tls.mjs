// Connects a user from pages at a server behind TLS, with the published SDK and with `/chatcamp.js`, over WebSocket and over
// long-poll. Reports each as a line of JSON.
//
// Usage: node over_tls.mjs '{"chromium":"PATH","port":443,"path":"","spki":"BASE64","app":"ID","user":"ID","token":"TOKEN"}'

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { servePage } from "./page_server.mjs";
import { DEADLINE_MS, within } from "./wait.mjs";

const { chromium: executablePath, port, path, spki, app, user, token } = JSON.parse(process.argv[2]);

// The published SDK uses TLS only for port 443.
const HOST = "chat.example.com";
const BASE = `${HOST}${path}`;
const CHAT = `${BASE}/chat/2.0`;

const pages = await servePage();
// Chromium runs as root and contacts only the hosts of the page. It trusts the certificate with this key.
const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--host-resolver-rules=MAP ${HOST}:443 127.0.0.1:${port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
    `--ignore-certificate-errors-spki-list=${spki}`,
  ],
});
for (const transport of ["web_socket", "long_poll"]) {
  for (const connect of [publishedSdk, chatcampJs]) {
    const scenario = `${transport}::${connect.name}`;
    let outcome;
    try {
      outcome = { ok: true, protocols: await run(transport, connect) };
    } catch (error) {
      outcome = { ok: false, error: String(error.stack) };
    }
    console.log(JSON.stringify({ scenario, ...outcome }));
  }
}
await browser.close();
pages.close();

/** Connects from a new page, and returns the HTTP versions of its requests to the server. */
async function run(transport, connect) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    if (transport === "long_poll") await page.addInitScript(() => delete window.WebSocket);
    const [errors, sockets, polls, protocols] = [[], [], [], new Set()];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("websocket", (socket) => sockets.push(socket.url()));
    page.on("request", (request) => {
      if (request.url().startsWith(`https://${CHAT}`)) polls.push(request.url());
    });
    const devtools = await context.newCDPSession(page);
    await devtools.send("Network.enable");
    devtools.on("Network.responseReceived", ({ response }) => {
      if (response.url.startsWith(`https://${HOST}/`)) protocols.add(response.protocol);
    });
    await within(DEADLINE_MS, "answer of the page", connect(page));
    assert.deepEqual(errors, [], "no uncaught exception in the page");
    if (transport === "web_socket") {
      assert.ok(sockets.length === 1 && sockets[0].startsWith(`wss://${CHAT}`), `one WebSocket: ${sockets}`);
      assert.deepEqual(polls, []);
    } else {
      assert.deepEqual(sockets, []);
      assert.ok(polls.length > 1, "polls over HTTPS");
    }
    return [...protocols];
  } finally {
    await context.close();
  }
}

async function publishedSdk(page) {
  const url = new URL(pages.url);
  // The SDK knows hosts, and no paths.
  if (path) url.searchParams.set("before", `https://${BASE}/compat.js`);
  await page.goto(url.href);
  const name = await page.evaluate(([appId, place, user, token]) => new Promise((resolve, reject) => {
    const chatcamp = new ChatCamp({ appId });
    chatcamp.connect(user, token, ...place, (error) => {
      if (error) return reject(new Error(JSON.stringify(error)));
      chatcamp.updateUserDisplayName("Over TLS", (error, { displayName } = {}) =>
        error ? reject(new Error(JSON.stringify(error))) : resolve(displayName));
    });
  }), [app, path ? [] : [HOST, "443"], user, token]);
  assert.equal(name, "Over TLS");
}

async function chatcampJs(page) {
  await page.goto(`${pages.url}empty`);
  const name = await page.evaluate(async ([appId, BASE, user, token]) => {
    const { ChatCamp } = await import(`https://${BASE}/chatcamp.js`);
    const chat = new ChatCamp({ appId });
    await chat.connect(user, token);
    const answer = await chat.request("users.update", { display_name: "By chatcamp.js" });
    await chat.disconnect();
    return answer.user.display_name;
  }, [app, BASE, user, token]);
  assert.equal(name, "By chatcamp.js");
}

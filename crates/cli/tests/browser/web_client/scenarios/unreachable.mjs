// Connections that cannot be opened: the error names the URL and what can be known of the cause.

import assert from "node:assert/strict";
import http from "node:http";
import { assertFailed } from "./expect.mjs";

export async function an_unreachable_server_is_a_retryable_error(world) {
  const page = await world.open({ appId: world.openApp });
  page.goDown();
  const outcome = await page.connect("early");
  assertFailed(outcome, "UNREACHABLE");
  const server = new URL(page.moduleUrl).origin;
  assert.ok(outcome.error.message.startsWith(`cannot reach ${server}: the server does not answer`), outcome.error.message);
  assert.deepEqual([outcome.error.retryable, outcome.error.advice], [true, "retry"]);
  assert.equal(await page.state(), "disconnected");
  page.comeUp();
  assert.equal((await page.connect("early")).error, null);
}

export async function a_client_with_retries_keeps_trying(world) {
  const page = await world.open({ appId: world.openApp, options: { keepTrying: true } });
  page.goDown();
  const connecting = page.connect("patient");
  await page.told("reconnecting", 2);
  page.comeUp();
  assert.equal((await connecting).error, null);
}

export async function every_transport_names_the_url_of_a_server_that_is_down(world) {
  const page = await world.open({ appId: world.openApp });
  const down = await serveNothing();
  for (const transport of ["auto", "websocket", "long-poll"]) {
    const { error } = await connect(page, { url: down, transport });
    assertFailed({ error }, "UNREACHABLE");
    assert.ok(error.message.startsWith(`cannot reach ${down}: the server does not answer`), error.message);
  }
}

export async function a_response_of_another_server_is_named_with_its_status(world) {
  const page = await world.open({ appId: world.openApp });
  const other = await serveOther();
  for (const [path, words] of [
    ["/404", `no ChatCamp server at ${other.url}/404/chat/2.0 (status 404); check the path in the URL`],
    ["/502", `${other.url}/502/chat/2.0 did not answer as a ChatCamp server (status 502); check the URL and the proxy`],
    ["/200", `${other.url}/200/chat/2.0 did not answer as a ChatCamp server (status 200); check the URL and the proxy`],
  ]) {
    const { error } = await connect(page, { url: other.url + path });
    assertFailed({ error }, "UNREACHABLE");
    assert.deepEqual([error.message, error.retryable], [words, true]);
  }
  const { error } = await connect(page, { url: `${other.url}/429` });
  assert.deepEqual([error.code, error.message, error.retryable], ["RATE_LIMITED", "too many", true]);
  other.close();
}

export async function a_page_with_https_is_told_that_its_url_has_none(world) {
  const page = await world.open({ appId: world.openApp });
  await page.context.route("https://page.example/*", (route) => route.fulfill({ contentType: "text/html", body: "" }));
  const client = await (await fetch(page.moduleUrl)).text();
  await page.page.goto("https://page.example/");
  const message = await page.run(async (code) => {
    const { ChatCamp } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    return new ChatCamp({ appId: "a", url: "http://chat.example" }).connect("alice").catch(({ code, message }) => `${code}: ${message}`);
  }, client);
  assert.match(message, /^UNREACHABLE: cannot reach http:\/\/chat\.example: .*mixed content.*https:\/\//);
  await page.page.goto("about:blank");
  await page.page.evaluate(() => void (window.traced = []));
}

export async function a_server_that_is_silent_is_named(world) {
  const page = await world.open({ appId: world.openApp, options: { connectTimeoutMs: 300 } });
  page.proxy.stall();
  const { error } = await page.connect("sid");
  assertFailed({ error }, "TIMED_OUT");
  const { origin } = new URL(page.moduleUrl);
  assert.equal(error.message, `${origin}/chat/2.0 did not answer within 300 ms`);
  const { error: slow } = await page.run(() => outcome(chat.connect("sid", { token: () => new Promise(() => {}) })));
  assert.deepEqual([slow.code, slow.message], ["TIMED_OUT", "the token provider did not answer within 300 ms"]);
}

/** Connects with a new client of the page. */
function connect(page, options) {
  return page.run((options) => outcome(new ChatCamp({ appId: "a", ...options }).connect("alice")), options);
}

/** Returns the URL of a port at which no server listens. */
async function serveNothing() {
  const { url, close } = await serveOther();
  close();
  return url;
}

/** Starts a server that is not a ChatCamp server and that any page may call. A path begins with the status of its responses. */
async function serveOther() {
  const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
  const server = http.createServer(({ url, method }, response) => {
    const status = Number(url.split("/")[1]);
    response.writeHead(method === "OPTIONS" ? 204 : status, headers);
    const error = { code: "RATE_LIMITED", message: "too many" };
    response.end(status === 429 ? JSON.stringify({ ok: false, error }) : "<!doctype html>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

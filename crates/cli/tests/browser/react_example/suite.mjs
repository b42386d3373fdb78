// Builds examples/react in a temporary folder, with the package that the server offers, and serves the result.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { DEADLINE_MS } from "../wait.mjs";
import * as scenarios from "./scenarios.mjs";

export const SCENARIOS = { web_socket: scenarios };
/** An installation takes long on a slow network. */
export const SCENARIO_MS = 500_000;

const EXAMPLE = fileURLToPath(new URL("../../../../../examples/react", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8" };

let building = null;
let users = 0;

/** Opens the page. The pages of all scenarios share one build. */
export async function open(world) {
  users += 1;
  building ??= build(world);
  const { folder, server, url } = await building;
  const context = await world.browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const uncaught = [];
  page.on("pageerror", (error) => uncaught.push(String(error)));
  await page.goto(url);
  return {
    page,
    url,
    packaged: pathToFileURL(path.join(folder, "node_modules/chatcamp-client/chatcamp.js")).href,
    assertSound: () => assert.deepEqual(uncaught, [], "no uncaught exception in the page"),
    story: () => ({ url: page.url(), uncaught }),
    close: async () => {
      await context.close();
      users -= 1;
      if (users > 0) return;
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function build({ server: host, openApp }) {
  const folder = await mkdtemp(path.join(tmpdir(), "chatcamp-react-"));
  await cp(EXAMPLE, folder, { recursive: true, filter: (file) => !/node_modules|dist/.test(path.relative(EXAMPLE, file)) });
  const env = { ...process.env, VITE_APP_ID: openApp, VITE_CHAT_URL: `http://${host}` };
  const npm = (...args) => run("npm", args, { cwd: folder, env });
  await npm("ci", "--no-audit", "--no-fund");
  await npm("install", "--no-save", "--no-audit", "--no-fund", `http://${host}/chatcamp.tgz`);
  await npm("run", "build");
  const server = await serve(path.join(folder, "dist"));
  return { folder, server, url: `http://127.0.0.1:${server.address().port}/` };
}

/** Runs a program. Its output is part of the error if it fails: TypeScript reports on stdout. */
async function run(program, args, options) {
  try {
    await promisify(execFile)(program, args, options);
  } catch ({ message, stdout }) {
    throw new Error(`${message}\n${stdout}`);
  }
}

async function serve(folder) {
  const server = http.createServer(async ({ url }, response) => {
    const file = path.join(folder, url === "/" ? "index.html" : path.normalize(url));
    const body = await readFile(file).catch(() => null);
    response.writeHead(body ? 200 : 404, { "content-type": TYPES[path.extname(file)] ?? "text/plain" });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

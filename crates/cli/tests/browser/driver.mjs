// Runs every scenario of a suite over every transport, against one server and in one browser, and reports each as a line of
// JSON. A suite is a folder with a `suite.mjs`, which exports its `SCENARIOS` by transport, a function that opens a page, and the
// time for a scenario if it needs more than others.
//
// Usage: node driver.mjs '{"suite":"FOLDER","server":"HOST:PORT","chromium":"PATH",…}'

import { chromium } from "playwright-core";
import { servePage } from "./page_server.mjs";
import { within } from "./wait.mjs";

const AT_ONCE = 8;
const RUN_MS = 600_000;

// Chromium runs as root and contacts only the hosts of the page.
const BROWSER_FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

setTimeout(() => {
  console.error(`the scenarios did not end within ${RUN_MS} ms`);
  process.exit(3);
}, RUN_MS).unref();

const { chromium: executablePath, suite, ...given } = JSON.parse(process.argv[2]);
const { SCENARIOS, SCENARIO_MS = 120_000, open } = await import(`./${suite}/suite.mjs`);
const pages = await servePage();
// Every launch uses a new, empty profile.
const browser = await chromium.launch({ executablePath, args: BROWSER_FLAGS });
const waiting = Object.entries(SCENARIOS).flatMap(([transport, scenarios]) =>
  Object.entries(scenarios).map(([name, run]) => ({ transport, name, run })));
await Promise.all(Array.from({ length: AT_ONCE }, worker));
await browser.close();
pages.close();

async function worker() {
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const scenario = `${next.transport}::${next.name}`;
    const started = performance.now();
    const error = await outcome(scenario, next);
    const ms = Math.round(performance.now() - started);
    console.log(JSON.stringify({ scenario, ok: error === null, ms, error }));
  }
}

async function outcome(scenario, { transport, run }) {
  const opened = [];
  const world = {
    ...given,
    transport,
    browser,
    pageUrl: pages.url,
    open: async (options) => {
      const page = await open(world, options);
      opened.push(page);
      return page;
    },
  };
  try {
    await within(SCENARIO_MS, `end of ${scenario}`, run(world));
    for (const page of opened) await page.assertSound();
    return null;
  } catch (error) {
    const seen = opened.map((page) => page.story());
    return `${error.stack}\nseen: ${JSON.stringify(seen, null, 1)}`;
  } finally {
    await Promise.all(opened.map((page) => page.close()));
  }
}

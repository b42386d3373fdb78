// A `chatcamp dev` whose public URL is that of a proxy, which passes requests on with their path.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { Proxy } from "../proxy.mjs";

/** Starts the proxy and the server, runs `act` with the proxy and what the server printed, and stops both. */
export async function withPublicUrl(binary, prefix, act) {
  const data = await mkdtemp(path.join(tmpdir(), "chatcamp-public-"));
  // The proxy comes first, because the server is told its address. It connects to the server later.
  const proxy = await Proxy.start("", { upgrades: true, prefix, keepsPrefix: true });
  const url = `http://127.0.0.1:${proxy.port}${prefix}`;
  const args = ["dev", "--listen", "127.0.0.1:0", "--json", "--public-url", url, "--data", data];
  const server = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = createInterface(server.stdout);
    const ready = JSON.parse(await new Promise((resolve, reject) => {
      lines.once("line", resolve).once("close", () => reject(new Error("the server ended before it was ready")));
    }));
    proxy.server = ready.listening;
    const { dashboard_password: password } = JSON.parse(await readFile(path.join(data, "dev.json"), "utf8"));
    await act({ proxy, url, ready, password });
  } finally {
    proxy.close();
    if (server.exitCode === null) await new Promise((resolve) => server.once("exit", resolve).kill());
    await rm(data, { recursive: true, force: true });
  }
}

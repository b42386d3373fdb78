// A proxy between the browser and the server. It can serve the server under a path, cut every connection, refuse requests, change
// their heads, and drop the upgrade header, as proxies without WebSocket support do. It reports the HTTP messages that pass.

import net from "node:net";
import { HttpStream } from "./http_stream.mjs";

export class Proxy {
  #pairs = new Set();
  #listener;
  #upgrades;
  #prefix;
  #keepsPrefix;
  #stalled = false;
  /** The address of the server, `HOST:PORT`. */
  server;
  /** Whether to reset the connection of this request instead of passing it on. */
  refuses = () => false;
  /** Changes the head of every request. */
  rewriteHead = (head) => head;
  /** Called with each request before it is forwarded; returns a function that is called with its response before that is forwarded. */
  onRequest = () => () => {};

  /** Targets of requests outside the prefix, which are answered 404. */
  strays = [];

  /**
   * Starts a proxy for `server`. With a `prefix` such as `/talk`, it serves the server under this path, and removes the path from
   * requests unless `keepsPrefix` is set.
   */
  static async start(server, { upgrades, prefix = "", keepsPrefix = false }) {
    const proxy = new Proxy();
    proxy.#upgrades = upgrades;
    proxy.#prefix = prefix;
    proxy.#keepsPrefix = keepsPrefix;
    proxy.server = server;
    proxy.#listener = net.createServer((browser) => proxy.#carry(browser, proxy.#dial()));
    await new Promise((resolve) => proxy.#listener.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port() {
    return this.#listener.address().port;
  }

  /** Resets every open connection, as a lost network would; new connections are forwarded. */
  cut() {
    this.#pairs.forEach(reset);
  }

  /** Keeps connections open but forwards nothing, as a lost route would. */
  stall() {
    this.#stalled = true;
    this.#pairs.forEach((pair) => pair.forEach((socket) => socket.pause()));
  }

  /** Ends `stall` for new connections. */
  flow() {
    this.#stalled = false;
  }

  close() {
    this.cut();
    this.#listener.close();
  }

  #dial() {
    const [, host, port] = this.server.match(/^(.*):(\d+)$/);
    return net.connect(Number(port), host);
  }

  #carry(browser, server) {
    const pair = [browser, server];
    this.#pairs.add(pair);
    if (this.#stalled) return;
    const end = () => {
      this.#pairs.delete(pair);
      for (const socket of pair) socket.destroySoon();
    };
    for (const socket of pair) socket.setNoDelay(true).on("error", end).on("close", end);

    const [requests, answers, unanswered] = [new HttpStream(), new HttpStream(), []];
    const onRequests = (chunk) => {
      for (const { start, head, headers, body } of requests.read(chunk)) {
        const [method, sent] = start.split(" ");
        if (!`${sent}/`.startsWith(`${this.#prefix}/`)) return this.#answerStray(sent, browser);
        const target = this.#keepsPrefix ? sent : sent.slice(this.#prefix.length);
        const request = { method, target, headers, body };
        if (this.refuses(request)) return reset(pair);
        unanswered.push(this.onRequest(request));
        server.write(`${this.#altered(head.replace(sent, target))}\r\n\r\n`, "latin1");
        server.write(body);
      }
    };
    const onAnswers = (chunk) => {
      for (const { start, head, headers, body } of answers.read(chunk)) {
        const status = Number(start.split(" ")[1]);
        unanswered.shift()({ status, headers, body });
        browser.write(`${head}\r\n\r\n`, "latin1");
        browser.write(body);
        if (status === 101) return carryBytes();
      }
    };
    const carryBytes = () => {
      browser.off("data", onRequests).pipe(server);
      browser.write(answers.rest);
      server.off("data", onAnswers).pipe(browser);
    };
    browser.on("data", onRequests);
    server.on("data", onAnswers);
  }

  #answerStray(target, browser) {
    this.strays.push(target);
    browser.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  }

  #altered(head) {
    const passed = this.rewriteHead(head);
    if (this.#upgrades) return passed;
    return passed.split("\r\n").filter((line) => !/^(upgrade:|connection: *upgrade)/i.test(line)).join("\r\n");
  }
}

function reset(pair) {
  for (const socket of pair) socket.resetAndDestroy();
}

// A proxy between the browser and the server: it can cut every connection, refuse requests, alter their heads, and lose
// the wish for an upgrade, as proxies from before WebSocket do. It tells what passes as HTTP.

import net from "node:net";
import { HttpStream } from "./http_stream.mjs";

export class Proxy {
  #pairs = new Set();
  #listener;
  #upgrades;
  #stalled = false;
  /** Whether to reset the connection of this request instead of passing it on. */
  refuses = () => false;
  /** Alters the head of every request. */
  rewriteHead = (head) => head;
  /** Is told each request before the server gets it, and returns who is told its answer before the browser gets it. */
  onRequest = () => () => {};

  static async start(server, { upgrades }) {
    const proxy = new Proxy();
    proxy.#upgrades = upgrades;
    const [host, port] = [server.slice(0, server.lastIndexOf(":")), Number(server.split(":").at(-1))];
    proxy.#listener = net.createServer((browser) => proxy.#carry(browser, net.connect(port, host)));
    await new Promise((resolve) => proxy.#listener.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port() {
    return this.#listener.address().port;
  }

  /** Resets every open connection, as a lost network would; new ones are carried again. */
  cut() {
    this.#pairs.forEach(reset);
  }

  /** Lets connections live and nothing through, as a lost route would. */
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
        const [method, target] = start.split(" ");
        const request = { method, target, headers, body };
        if (this.refuses(request)) return reset(pair);
        unanswered.push(this.onRequest(request));
        server.write(`${this.#altered(head)}\r\n\r\n`, "latin1");
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

  #altered(head) {
    const passed = this.rewriteHead(head);
    if (this.#upgrades) return passed;
    return passed.split("\r\n").filter((line) => !/^(upgrade:|connection: *upgrade)/i.test(line)).join("\r\n");
  }
}

function reset(pair) {
  for (const socket of pair) socket.resetAndDestroy();
}

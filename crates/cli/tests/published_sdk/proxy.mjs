// A TCP proxy between the browser and the server: it can cut every connection, and alter request heads.

import net from "node:net";

const HEAD_END = "\r\n\r\n";

export class Proxy {
  #pairs = new Set();
  #listener;
  /** Alters the head of the first request of each new connection. */
  rewriteHead = (head) => head;

  static async start(server) {
    const proxy = new Proxy();
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
    for (const [browser, server] of this.#pairs) {
      browser.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  close() {
    this.cut();
    this.#listener.close();
  }

  #carry(browser, server) {
    const pair = [browser, server];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      for (const socket of pair) socket.destroySoon();
    };
    for (const socket of pair) socket.setNoDelay(true).on("error", end).on("close", end);
    server.pipe(browser);

    let received = Buffer.alloc(0);
    const onHead = (chunk) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf(HEAD_END);
      if (end < 0) return;
      browser.off("data", onHead);
      server.write(this.rewriteHead(received.subarray(0, end).toString("latin1")), "latin1");
      server.write(received.subarray(end));
      browser.pipe(server);
    };
    browser.on("data", onHead);
  }
}

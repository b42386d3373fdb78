// A plug in the line of one client: what a page cannot do to its own network, it can do to the WebSocket and the fetch that
// the client is given.

const CONNECTING = 0;
const CLOSED = 3;

export class Plug {
  #sockets = new Set();
  #line = new AbortController();
  #isOut = false;

  /** Cuts every connection as a lost network would, unannounced, and lets none open until `putBack`. */
  pull() {
    this.#isOut = true;
    this.#line.abort(new TypeError("the plug is out"));
    for (const socket of this.#sockets) socket.cut();
  }

  putBack() {
    this.#isOut = false;
    this.#line = new AbortController();
  }

  /** For the client's option `fetch`. */
  fetch = (url, { signal, ...request }) => {
    if (this.#isOut) return Promise.reject(new TypeError("the plug is out"));
    const either = AbortSignal.any([signal, this.#line.signal].filter(Boolean));
    return fetch(url, { ...request, signal: either });
  };

  /** For the client's option `webSocket`. */
  get webSocket() {
    const plug = this;
    return class extends Socket {
      constructor(url) {
        super(url, plug.#isOut);
        plug.#sockets.add(this);
        this.whenGone = () => plug.#sockets.delete(this);
      }
    };
  }
}

/**
 * As much of a WebSocket as the client uses. One that is cut hears and says nothing more, while the real one stays open for a
 * while: the server does not know yet, just as when a cable is pulled.
 */
class Socket {
  static #LINGERS_MS = 20_000;
  readyState = CONNECTING;
  onopen = null;
  onmessage = null;
  onclose = null;
  whenGone = () => {};
  #real = null;

  constructor(url, isOut) {
    if (isOut) {
      setTimeout(() => this.cut());
      return;
    }
    this.#real = new WebSocket(url);
    this.#real.onopen = () => {
      if (this.readyState === CLOSED) return;
      this.readyState = this.#real.readyState;
      this.onopen?.();
    };
    this.#real.onmessage = ({ data }) => {
      if (this.readyState !== CLOSED) this.onmessage?.({ data });
    };
    this.#real.onclose = ({ code, reason }) => this.#gone(code, reason);
  }

  send(text) {
    if (this.readyState !== CLOSED) this.#real.send(text);
  }

  close(code, reason) {
    if (this.readyState === CLOSED) return;
    if (this.#real) this.#real.close(code, reason);
    else this.cut();
  }

  cut() {
    this.#gone(1006, "");
    setTimeout(() => this.#real?.close(), Socket.#LINGERS_MS);
  }

  #gone(code, reason) {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.whenGone();
    this.onclose?.({ code, reason });
  }
}

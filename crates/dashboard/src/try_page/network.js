// A network that can be cut. A page cannot cut its real network, so the client is given this WebSocket and this fetch.

const CONNECTING = 0;
const CLOSED = 3;

export class CuttableNetwork {
  #sockets = new Set();
  #requests = new AbortController();
  #isCut = false;

  /** Cuts all connections without notice, as a network failure does. New ones fail until `restore`. */
  cut() {
    this.#isCut = true;
    this.#requests.abort(new TypeError("the network is cut"));
    for (const socket of this.#sockets) socket.cut();
  }

  restore() {
    this.#isCut = false;
    this.#requests = new AbortController();
  }

  /** The client's option `fetch`. */
  fetch = (url, { signal, ...request }) => {
    if (this.#isCut) return Promise.reject(new TypeError("the network is cut"));
    const either = AbortSignal.any([signal, this.#requests.signal].filter(Boolean));
    return fetch(url, { ...request, signal: either });
  };

  /** The client's option `webSocket`. */
  get webSocket() {
    const network = this;
    return class extends CuttableSocket {
      constructor(url) {
        super(url, network.#isCut);
        network.#sockets.add(this);
        this.whenClosed = () => network.#sockets.delete(this);
      }
    };
  }
}

/**
 * The part of a WebSocket that the client uses. After a cut it sends and receives nothing, while the real socket stays open
 * for some time: as after a real network failure, the server does not notice at once.
 */
class CuttableSocket {
  static #REAL_CLOSE_DELAY_MS = 20_000;
  readyState = CONNECTING;
  onopen = null;
  onmessage = null;
  onclose = null;
  whenClosed = () => {};
  #real = null;

  constructor(url, isCut) {
    if (isCut) {
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
    this.#real.onclose = ({ code, reason }) => this.#closed(code, reason);
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
    this.#closed(1006, "");
    setTimeout(() => this.#real?.close(), CuttableSocket.#REAL_CLOSE_DELAY_MS);
  }

  #closed(code, reason) {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.whenClosed();
    this.onclose?.({ code, reason });
  }
}

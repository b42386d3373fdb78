// Splits a stream of bytes into HTTP/1.1 messages.

const HEAD_END = "\r\n\r\n";

/** Splits the bytes of one direction into messages. Bodies need a content length, which all messages here have. */
export class HttpStream {
  #bytes = Buffer.alloc(0);

  /** Yields the messages that `chunk` completes. */
  *read(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (let message = this.#next(); message; message = this.#next()) yield message;
  }

  /** Returns the bytes after the last message. */
  get rest() {
    return this.#bytes;
  }

  #next() {
    const headEnd = this.#bytes.indexOf(HEAD_END);
    if (headEnd < 0) return null;
    const head = this.#bytes.toString("latin1", 0, headEnd);
    const [start, ...lines] = head.split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    if (headers["transfer-encoding"]) throw new Error(`a body without a stated length: ${head}`);
    const bodyAt = headEnd + HEAD_END.length;
    const end = bodyAt + Number(headers["content-length"] ?? 0);
    if (this.#bytes.length < end) return null;
    const body = this.#bytes.subarray(bodyAt, end);
    this.#bytes = this.#bytes.subarray(end);
    return { start, head, headers, body };
  }
}

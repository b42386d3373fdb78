// Records the HTTP traffic between a page and the server, and checks that the responses are as the SDK needs them.

import assert from "node:assert/strict";
import { Log } from "../wait.mjs";

export const CHAT_PATH = "/chat/2.0";
/** The header that identifies the connection of a poll or post. */
export const ID_HEADER = "iflychat-token";
/** The headers of the SDK's requests. */
const SDK_HEADERS = ["content-type", "iflychat-token", "x-csrf-token", "x-session-key"];

/** One GET of a long-poll connection, with a promise of its response. */
export class Poll {
  /** The response, once the server has sent it. */
  answer = null;
  #tell;

  constructor({ target, headers }) {
    this.id = headers[ID_HEADER];
    this.target = target;
    this.answered = new Promise((resolve) => (this.#tell = resolve));
  }

  end(answer) {
    this.answer = answer;
    this.#tell(answer);
  }
}

export class Traffic {
  /** All GETs of long-poll connections that reached the proxy, oldest first. */
  polls = new Log("poll");
  preflights = new Log("preflight");
  /** Envelopes by direction, over all connections of the page. */
  sent = new Log("envelope from the SDK");
  received = new Log("envelope from the server");
  /** WebSockets that opened. */
  upgrades = 0;
  /** Responses that the SDK cannot handle. */
  faults = [];

  /** For `Proxy.onRequest`. */
  note = (request) => {
    if (new URL(request.target, "http://proxy").pathname !== CHAT_PATH) return () => {};
    const onAnswer = this.#noteRequest(request);
    return ({ status, headers, body }) => {
      if (status === 101) {
        this.upgrades += 1;
        return;
      }
      const answer = { status, body: body.toString() };
      try {
        assertReadable(request, headers);
        onAnswer(answer, headers);
      } catch (fault) {
        this.faults.push({ method: request.method, target: request.target, answer, headers, fault: String(fault) });
      }
    };
  };

  #noteRequest(request) {
    const { method, headers, body } = request;
    if (method === "OPTIONS") {
      this.preflights.push(request);
      return assertAllowed;
    }
    if (!headers[ID_HEADER]) return () => {};
    if (method === "POST") {
      this.sent.push(JSON.parse(body));
      return (answer) => assert.deepEqual(answer, { status: 200, body: "[]" });
    }
    const poll = new Poll(request);
    this.polls.push(poll);
    return (answer) => {
      poll.end(answer);
      if (answer.status === 200) envelopes(answer.body).forEach((envelope) => this.received.push(envelope));
    };
  }
}

/** Parses an array of strings, each one envelope. */
function envelopes(body) {
  const messages = JSON.parse(body);
  assert.ok(Array.isArray(messages) && messages.every((message) => typeof message === "string"), "an array of strings");
  return messages.map((message) => JSON.parse(message));
}

/** Checks the headers without which a browser hides the response from the SDK, or reuses an old response. */
function assertReadable({ headers: { origin } }, headers) {
  assert.equal(headers["access-control-allow-origin"], origin);
  assert.equal(headers["access-control-allow-credentials"], "true");
  assert.equal(headers["vary"], "Origin");
  assert.equal(headers["cache-control"], "no-store");
}

function assertAllowed({ status }, headers) {
  assert.ok(status >= 200 && status < 300, "a preflight succeeds");
  const allowed = headers["access-control-allow-headers"].split(/, */).map((name) => name.toLowerCase());
  assert.deepEqual(SDK_HEADERS.filter((name) => !allowed.includes(name)), [], "the SDK's headers are allowed");
  assert.ok(Number(headers["access-control-max-age"]) >= 600, "the browser need not ask before every poll");
}

// What a page and the server say to each other over HTTP, and whether the server says it as the SDK needs it.

import assert from "node:assert/strict";
import { Log } from "../wait.mjs";

export const CHAT_PATH = "/chat/2.0";
/** What ties the polls and posts of one connection together. */
export const ID_HEADER = "iflychat-token";
/** The headers of the SDK's requests (wire document, section 2.3). */
const SDK_HEADERS = ["content-type", "iflychat-token", "x-csrf-token", "x-session-key"];

/** One GET of a long poll: who polls for what, and the promise of its answer. */
export class Poll {
  /** Its answer, once the server has given it. */
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
  /** All GETs of long polls that reached the proxy, oldest first. */
  polls = new Log("poll");
  preflights = new Log("preflight");
  /** Envelopes by direction, over all connections of the page. */
  sent = new Log("envelope from the SDK");
  received = new Log("envelope from the server");
  /** WebSockets that opened. */
  upgrades = 0;
  /** Answers that would harm the SDK. */
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

/** Section 2.3: an array of strings, each one envelope. */
function envelopes(body) {
  const messages = JSON.parse(body);
  assert.ok(Array.isArray(messages) && messages.every((message) => typeof message === "string"), "an array of strings");
  return messages.map((message) => JSON.parse(message));
}

/** Section 2.3: without these a browser keeps the answer from the SDK, or an old answer for it. */
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

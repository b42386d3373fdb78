// Types of chatcamp.js. Times are in milliseconds where a name says so, in seconds where it is of the protocol.

export const VERSION: string;

/** What a client should do after an end: come back, come back with another credential, not come back. */
export type Advice = "retry" | "credential" | "terminal";

/** Why a connection is refused or ended: the WebSocket's number for it, and what to do. */
export const CODES: Readonly<Record<string, readonly [number: number, advice: Advice]>>;

/** Why something failed. */
export class ChatCampError extends Error {
  /**
   * For programs: a code of the server's (`CODES`, or the error of a request), or of this side's: `INVALID_ARGUMENT`,
   * `NOT_CONNECTED`, `DISCONNECTED_BY_US`, `SUPERSEDED`, `TIMED_OUT`, `UNANSWERED`, `TOO_LARGE`, `TOO_MANY_WAITING`,
   * `INVALID_ANSWER`, `NO_CREDENTIAL`, `TOKEN_EXPOSED`.
   */
  readonly code: string;
  readonly advice: Advice | null;
  /** Whether the same call may succeed later, and cannot run twice when it is repeated. */
  readonly retryable: boolean;
  /** How long the server asks to wait at least. */
  readonly retryAfterMs: number | null;
  /** Of a request without an answer: whether the server may have carried it out. */
  readonly mayHaveRun: boolean;
}

/** The connected user, as its owner sees it. */
export interface User {
  id: string;
  display_name?: string;
  first_name?: string;
  last_name?: string;
  email?: string;
  phone_number?: string;
  profile_url?: string;
  avatar_url?: string;
  data?: string;
  metadata?: unknown;
  /** Unix seconds. */
  last_seen?: number;
  is_online?: boolean;
  is_suspended?: boolean;
  check_access_token?: boolean;
  /** The token that this session presented. */
  access_token?: string;
  [field: string]: unknown;
}

/** Why a token is asked for. */
export type Why = "initial" | "reconnect" | "expiring" | "rejected";

/**
 * Provides tokens of one user, and is told why it is asked; after `rejected`, with the server's refusal. A token that was
 * refused already makes the refusal final. `expiresIn` is in seconds from now.
 */
export type TokenProvider = (why: Why, refusal: ChatCampError | null) =>
  Answer | PromiseLike<Answer>;

type Answer = string | null | undefined | { token: string | null; expiresIn?: number };

/** What is presented beside the user id. */
export type Credential = string | null | undefined | { token: string | TokenProvider | null };

export type State = "disconnected" | "connecting" | "connected" | "reconnecting";

export interface Options {
  appId: string | number;
  /** The server, such as `https://chat.example`; by default the one that this module came from. */
  url?: string | URL;
  /** By default WebSocket, and long-poll where no WebSocket opens. */
  transport?: "auto" | "websocket" | "long-poll";
  /** For one attempt to connect; 20,000 by default. */
  connectTimeoutMs?: number;
  /** For one request, from the call to the answer; 30,000 by default. */
  requestTimeoutMs?: number;
  /** Whether a first connect that fails is repeated like any other; false by default. */
  keepTrying?: boolean;
  /** Allows access tokens over http to another machine. For networks trusted otherwise. */
  dangerousSendTokensInPlaintext?: boolean;
  /** Used in place of the browser's. */
  webSocket?: typeof WebSocket;
  /** Used in place of the browser's. */
  fetch?: typeof fetch;
  /** Is shown every message, without the secrets in it. */
  trace?: (direction: "sent" | "received", text: string) => void;
  /** Name and version of this client, as the server is told. */
  client?: string;
}

export interface Events {
  state: State;
  /** Connected, for the first time or again: the session goes on (`resumed`), or is new (`fresh`, why). */
  connected: {
    user: User;
    transport: "websocket" | "long-poll";
    resumed: { replayed: number; received: number } | null;
    fresh: "new" | "unknown_key" | "too_late" | "evicted" | null;
  };
  /** The connection is gone, or another attempt has failed; the next begins by itself after `afterMs`. */
  reconnecting: { why: ChatCampError; afterMs: number; attempt: number };
  /** It is over until `connect` is called again. */
  disconnected: { reason: ChatCampError };
  /** The user's own object has changed, here or elsewhere. */
  user: User;
  /** The token ends in so many seconds; unless it is `refreshable`, the session ends with it. */
  token_expires: { expiresIn: number; refreshable: boolean };
  /** What the app's backend published. */
  event: { type: string; data: unknown };
  /** A message of a type that this version has no name for. */
  message: { t: string; d: Record<string, unknown> };
}

type ConnectCallback = (error: ChatCampError | null, user?: User) => void;

/** The client of one page; it connects one user at a time. */
export class ChatCamp {
  constructor(options: Options);

  readonly state: State;
  /** The connected user; null while none is to be connected. */
  readonly user: User | null;

  /** Listens for events; the function it returns ends that. */
  on<T extends keyof Events>(type: T, listener: (detail: Events[T]) => void): () => void;
  off<T extends keyof Events>(type: T, listener: (detail: Events[T]) => void): void;

  /**
   * Connects a user. The same user again joins what is under way; another credential replaces the one before; another
   * user takes the place of the first.
   */
  connect(userId: string, callback?: ConnectCallback): Promise<User>;
  connect(userId: string, credential: Credential, callback?: ConnectCallback): Promise<User>;

  /** Disconnects; always allowed. Resolves when the connection is closed. */
  disconnect(callback?: (error: null) => void): Promise<void>;

  /** Asks the server (docs/PROTOCOL.md, "Requests"). Waits while the connection is coming back. */
  request<T = Record<string, unknown>>(type: string, body?: object): Promise<T>;
}

// Types of chatcamp.js. Times whose names end with `Ms` are in milliseconds; times of the protocol are in seconds.

export const VERSION: string;

/** What a client should do after an end: reconnect, reconnect with another credential, or stay disconnected. */
export type Advice = "retry" | "credential" | "terminal";

/** The codes of refusals and ends: the WebSocket close code and the advice of each. */
export const CODES: Readonly<Record<EndCode, readonly [number: number, advice: Advice]>>;

// Generated from crates/protocol/src/code.rs and error.rs by CHATCAMP_WRITE_DOCUMENTS=1 cargo test -p chatcamp-protocol.
// <codes>
/** Why the server refused or ended a connection. */
export type EndCode =
  | "HANDSHAKE_TIMEOUT"
  | "IDLE_TIMEOUT"
  | "OVERLOADED"
  | "STORE_UNAVAILABLE"
  | "USER_LIMIT_REACHED"
  | "SHUTTING_DOWN"
  | "SLOW_CONSUMER"
  | "OUT_OF_SEQUENCE"
  | "LOST"
  | "CREDENTIAL_CHANGED"
  | "RECONNECT"
  | "CONNECTION_UNKNOWN"
  | "RATE_LIMITED"
  | "APP_NOT_FOUND"
  | "APP_ID_INVALID"
  | "USER_ID_INVALID"
  | "CREDENTIAL_REFUSED"
  | "ACCESS_TOKEN_REQUIRED"
  | "ACCESS_TOKEN_INVALID"
  | "ACCESS_TOKEN_EXPIRED"
  | "SESSION_KEY_INVALID"
  | "CREDENTIAL_REVOKED"
  | "USER_SUSPENDED"
  | "USER_DELETED"
  | "REPLACED"
  | "SESSION_LIMIT"
  | "QUERY_INVALID"
  | "MALFORMED"
  | "UNSUPPORTED_VERSION"
  | "DISCONNECTED"
  | "SESSION_EVICTED"
  | "ORIGIN_REFUSED"
  | "PROTOCOL_ERROR"
  | "BINARY_MESSAGE"
  | "INVALID_TEXT"
  | "MESSAGE_TOO_LARGE";

/** Why the server rejected a request. */
export type RequestCode =
  | "UNKNOWN_TYPE"
  | "INVALID_BODY"
  | "VALUE_TOO_LONG"
  | "NOT_OWN_USER"
  | "USER_NOT_FOUND"
  | "DIRECTORY_OFF"
  | "TOKEN_REFUSED"
  | "OWN_USER"
  | "TOO_MANY_BLOCKS"
  | "RATE_LIMITED"
  | "STORE_UNAVAILABLE";
// </codes>

/** An error of this client. */
export type ClientCode =
  | "DISCONNECTED_BY_US"
  | "INVALID_ANSWER"
  | "INVALID_ARGUMENT"
  | "NOT_CONNECTED"
  | "NO_CREDENTIAL"
  | "SUPERSEDED"
  | "TIMED_OUT"
  | "TOKEN_EXPOSED"
  | "TOO_LARGE"
  | "TOO_MANY_WAITING"
  | "UNANSWERED"
  | "UNREACHABLE"
  | "WRONG_USER";

/** Why an operation failed. */
export class ChatCampError extends Error {
  /** For programs. A newer server may send a code that is not listed here; then `advice` and `retryable` decide. */
  readonly code: EndCode | RequestCode | ClientCode;
  readonly advice: Advice | null;
  /** Whether the same call may succeed later. Repeating it cannot run it twice. */
  readonly retryable: boolean;
  /** The shortest time to wait, if the server asked to wait: before the next connect, or before the same request (`RATE_LIMITED`). */
  readonly retryAfterMs: number | null;
  /** For a request without an answer: whether the server may have run it. */
  readonly mayHaveRun: boolean;
}

// Generated from crates/protocol/src/request by CHATCAMP_WRITE_DOCUMENTS=1 cargo test -p chatcamp-protocol.
// <requests>
/** A user as other users see it. */
export interface PublicUser {
  /** The id. */
  id: string;
  /** The URL of a picture of the user. Not validated. */
  avatar_url: string;
  /** The name that other users see. */
  display_name: string;
  /** Whether the user has a live session. */
  is_online: boolean;
  /** The time the user was last connected, in Unix seconds; 0 if never. */
  last_seen: number;
  /** The URL of a page about the user. Not validated. */
  profile_url: string;
}

/** A user as its owner sees it, with every field. */
export interface User {
  /** The id. */
  id: string;
  /** The URL of a picture of the user. Not validated. */
  avatar_url: string;
  /** Whether the user must present an access token. */
  check_access_token: boolean;
  /** Text that the application chooses; at most 4 KiB. */
  data: string;
  /** The name that other users see; at most 255 bytes. */
  display_name: string;
  /** The e-mail address; visible to the owner and the backend. */
  email: string;
  /** The first name; visible to the owner and the backend. */
  first_name: string;
  /** Whether the user has a live session. */
  is_online: boolean;
  /** Whether the backend has suspended the user. */
  is_suspended: boolean;
  /** The last name; visible to the owner and the backend. */
  last_name: string;
  /** The time the user was last connected, in Unix seconds; 0 if never. */
  last_seen: number;
  /** An object that the application chooses; at most 4 KiB as JSON; visible to the owner and the backend. */
  metadata: Record<string, unknown>;
  /** The phone number; visible to the owner and the backend. */
  phone_number: string;
  /** The URL of a page about the user. Not validated: do not render it as a link unchecked. */
  profile_url: string;
  /** The access token that this session presented; absent if it presented none. */
  access_token?: string;
}

/** The number of users that match. */
export interface UserCount {
  /** The number of users. */
  count: number;
  /** True if the app has more users than one request looks at, so that not all were counted. */
  is_partial?: boolean;
}

/** The body of every request and of its response, by type. */
export interface Requests {
  /** Reads a user: the session's own user in full, any other user as others see it. */
  "users.get": {
    request: {
      /** The user to read; the session's own user if absent. */
      id?: string;
    };
    response: {
      /** The user. */
      user: User | PublicUser;
    };
  };
  /** Changes the session's own user: fields that are absent stay as they are. The user's other sessions get the same acknowledgement without `to`. */
  "users.update": {
    request: {
      /** The user to change; must be the session's own user. */
      id?: string;
      /** The new URL of a picture of the user. */
      avatar_url?: string;
      /** The new text of the application. */
      data?: string;
      /** The new display name. */
      display_name?: string;
      /** The new object of the application; replaces the old one entirely. */
      metadata?: Record<string, unknown>;
      /** The new URL of a page about the user. */
      profile_url?: string;
    };
    response: {
      /** The user. */
      user: User;
    };
  };
  /** Lists the users of the app that match every filter, in pages. */
  "users.list": {
    request: {
      /** Lists users whose display name or id begins with this text of at most 255 bytes, ignoring case. */
      display_name_search?: string;
      /** Selects nothing: suspended users are never listed. */
      is_active_filter?: "ALL" | "ACTIVE";
      /** Selects nothing: whether a user must present a token is not disclosed. */
      is_check_access_token_filter?: "ALL";
      /** Selects users by presence. */
      is_online_filter?: "ALL" | "ONLINE" | "OFFLINE";
      /** The length of the page: 20 if absent, 100 at most. */
      limit?: number;
      /** The id after which the page begins. */
      reference?: string;
      /** Lists these users only, at most 1,000; ids of no user are skipped. */
      user_ids?: string[];
    };
    response: {
      /** The users as others see them, the session's own user included. */
      users: PublicUser[];
      /** The `reference` of the next page; absent on the last page. */
      reference?: string;
    };
  };
  /** Counts the users of the app that match every filter. */
  "users.list_count": {
    request: {
      /** Selects nothing: suspended users are never listed. */
      is_active_filter?: "ALL" | "ACTIVE";
      /** Selects nothing: whether a user must present a token is not disclosed. */
      is_check_access_token_filter?: "ALL";
      /** Selects users by presence. */
      is_online_filter?: "ALL" | "ONLINE" | "OFFLINE";
    };
    response: {
      /** The count. */
      users: UserCount;
    };
  };
  /** Blocks another user until the block is ended or either user is deleted. Blocking a user twice is not an error. */
  "users.block": {
    request: {
      /** The user to block. */
      block_id: string;
    };
    response: {
      /** The user. */
      user: PublicUser;
    };
  };
  /** Ends a block. Unblocking a user who is not blocked is not an error. */
  "users.unblock": {
    request: {
      /** The user to unblock. */
      unblock_id: string;
    };
    response: {
      /** The user. */
      user: PublicUser;
    };
  };
  /** Lists the users that the session's own user blocks, in pages. */
  "users.block_list": {
    request: {
      /** The length of the page: 20 if absent, 100 at most. */
      limit?: number;
      /** The id after which the page begins. */
      reference?: string;
    };
    response: {
      /** The users as others see them, the session's own user included. */
      users: PublicUser[];
      /** The `reference` of the next page; absent on the last page. */
      reference?: string;
    };
  };
  /** Replaces the access token of the session. Native dialect only. */
  "users.refresh": {
    request: {
      /** The new access token. */
      access_token: string;
      /** The user of the token; must be the session's own user. */
      user_id?: string;
    };
    response: {
      /** Seconds until the new token expires; absent if it does not expire. */
      token_expires_in?: number;
    };
  };
  /** Keeps the connection alive and acknowledges every message up to the number `seen`. Native dialect only. */
  "ping": {
    request: {
      /** The highest sequence number that the client has received. */
      seen?: number;
    };
    response: Record<string, never>;
  };
}
// </requests>

/** Why a token is needed. */
export type CredentialReason = "initial" | "reconnect" | "expiring" | "rejected";

/**
 * Provides access tokens of one user. Receives the reason why a token is needed and, for `rejected`, the server's refusal.
 *
 * If it returns the refused token again, the refusal is final. `expiresIn` is in seconds from now.
 */
export type TokenProvider = (reason: CredentialReason, refusal: ChatCampError | null) =>
  ProvidedToken | PromiseLike<ProvidedToken>;

type ProvidedToken = string | null | undefined | { token: string | null; expiresIn?: number };

/** The credential that is sent with the user id. */
export type Credential = string | null | undefined | { token: string | TokenProvider | null };

export type State = "disconnected" | "connecting" | "connected" | "reconnecting";

export interface Options {
  appId: string | number;
  /**
   * The URL of the server, such as `https://chat.example` or `https://chat.example/talk`. Required in the npm package and wherever
   * else this module was not loaded from its server; otherwise, the server that it came from, at the path beside the module.
   * Must not contain a user name, a query or a fragment.
   */
  url?: string | URL;
  /** `auto`, the default, uses WebSocket, and long-poll if no WebSocket opens. */
  transport?: "auto" | "websocket" | "long-poll";
  /** The timeout of one connection attempt; 20,000 by default. */
  connectTimeoutMs?: number;
  /** The timeout of one request, from the call to the answer; 30,000 by default. */
  requestTimeoutMs?: number;
  /** Whether the client retries if its first attempt to connect fails, as it does later; false by default. */
  keepTrying?: boolean;
  /** Allows access tokens over http to another machine. Only for networks that are secured by other means. */
  dangerousSendTokensInPlaintext?: boolean;
  /** Replaces the browser's WebSocket. */
  webSocket?: typeof WebSocket;
  /** Replaces the browser's fetch. */
  fetch?: typeof fetch;
  /** Receives every message with its secrets redacted. */
  trace?: (direction: "sent" | "received", text: string) => void;
  /** The name and version of this client, which the server receives. */
  client?: string;
}

export interface Events {
  state: State;
  /** The client is connected. `resumed` is set if the session continues; `fresh` says why a session is new. */
  connected: {
    user: User;
    transport: "websocket" | "long-poll";
    resumed: { replayed: number; received: number } | null;
    fresh: "new" | "unknown_key" | "too_late" | "evicted" | null;
  };
  /** The connection is lost, or another attempt has failed. The client tries again after `afterMs`. */
  reconnecting: { why: ChatCampError; afterMs: number; attempt: number };
  /** The client is disconnected until `connect` is called again. */
  disconnected: { reason: ChatCampError };
  /** The connected user was changed, here or elsewhere. */
  user: User;
  /** The token expires in `expiresIn` seconds. Unless it is `refreshable`, the session ends with it. */
  token_expires: { expiresIn: number; refreshable: boolean };
  /** An event that the app's backend published. */
  event: { type: string; data: unknown };
  /** A message of a type that this version does not know. */
  message: { t: string; d: Record<string, unknown> };
}

/** Selects users; every filter that is present must match. */
export interface UserQuery {
  /** Only users with a live session (true) or without one (false). */
  online?: boolean;
  /** Only users whose display name or id begins with this text, ignoring case. */
  prefix?: string;
  /** Only these users, at most 1,000; ids of no user are skipped. */
  ids?: string[];
  /** Begin after this id. */
  after?: string;
  /** The users of one request: 1 to 100; 100 by default. */
  pageSize?: number;
}

/** The fields to change. */
export type UserUpdate = Omit<Requests["users.update"]["request"], "id">;

type ConnectCallback = (error: ChatCampError | null, user?: User) => void;

/** The client of one page; it connects one user at a time. */
export class ChatCamp {
  constructor(options: Options);

  readonly state: State;
  /** The connected user; null while disconnected. */
  readonly user: User | null;

  /** Adds a listener for events of a type. Returns a function that removes it. */
  on<T extends keyof Events>(type: T, listener: (detail: Events[T]) => void): () => void;
  off<T extends keyof Events>(type: T, listener: (detail: Events[T]) => void): void;

  /**
   * Connects a user. A call for the connected user joins the connection or the attempt in progress; a call with another token
   * replaces it. A token provider joins too, and replaces the previous provider. A call for another user replaces the first user.
   *
   * White space around a token is removed.
   */
  connect(userId: string, callback?: ConnectCallback): Promise<User>;
  connect(userId: string, credential: Credential, callback?: ConnectCallback): Promise<User>;

  /** Disconnects. Never fails; resolves once the connection is closed. */
  disconnect(callback?: (error: null) => void): Promise<void>;

  /**
   * Tells the client that the network may have changed, such as when a device wakes up or joins another network.
   *
   * If the client waits before its next attempt, it connects now, even if the server asked it to wait. If it is connected, it
   * checks within 5 s that the connection still works. The browser's events (online, focus, pageshow, visibilitychange) do the
   * same, but respect a wait that the server asked for.
   */
  networkChanged(): void;

  /**
   * Lists the users of the app that match every filter, one at a time, in the byte order of their ids.
   *
   * Requests a page when its first user is asked for. If the server asks to wait (`RATE_LIMITED`), it waits and goes on; any other
   * error ends the list. To continue after an error, pass the id of the last user as `after`.
   */
  users(query?: UserQuery): AsyncIterableIterator<PublicUser>;
  /** Resolves with a user as others see it, the connected user included; null if the app has no user with this id. */
  getUser(id: string): Promise<PublicUser | null>;
  /** Changes the connected user: fields that are absent stay as they are. Resolves with the user. */
  updateUser(update: UserUpdate): Promise<User>;
  /** Blocks a user until `unblock`. Blocking a user twice is not an error. */
  block(id: string): Promise<PublicUser>;
  /** Ends a block. Unblocking a user who is not blocked is not an error. */
  unblock(id: string): Promise<PublicUser>;
  /** Lists the users that the connected user blocks, as `users` does. */
  blocked(): AsyncIterableIterator<PublicUser>;
  /** Counts the users of the app. */
  countUsers(): Promise<UserCount>;
  /** Counts the users with a live session. */
  countOnlineUsers(): Promise<UserCount>;

  /** Sends a request and resolves with its response (docs/PROTOCOL.md, "Requests"). Waits during a reconnect. */
  request<T extends keyof Requests>(type: T, body?: Requests[T]["request"]): Promise<Requests[T]["response"]>;
  /** Sends a request of a type that this version does not know. */
  request<R = Record<string, unknown>, T extends string = string>(
    type: T extends keyof Requests ? never : T, body?: object): Promise<R>;
}

/// <reference types="node" />
import { ConnectionOptions } from 'node:tls';

/** A lock's owner of a deadlock: it holds what the one before waits for. Times are RFC 3339. */
export interface CycleStep {
  clientId: string;
  ownerId: string;
  holds: string;
  heldSince: string;
  waitsFor: string;
  waitingSince: string;
}

/** Who holds a lock. Times are RFC 3339, by the service's clock. */
export interface Holder {
  clientId: string;
  ownerId: string;
  acquiredAt: string;
  expiresAt: string;
  /** What is left of the lease, in milliseconds. */
  ttlMs: number;
  fencingToken: number;
  autoRenew: boolean;
  metadata: Record<string, unknown> | null;
}

/** Who waits in line for a lock. */
export interface Waiter {
  /** From 1. */
  position: number;
  clientId: string;
  ownerId: string;
  /** Seconds so far. */
  waiting: number;
}

/** Where a request stands in line. */
export interface Place {
  /** From 1. */
  position: number;
  /** Up to 100 of those in the way, as told when the request was queued. */
  holders: Holder[];
}

/**
 * A lock as it is now. A free lock has no mode, limit and holders; one with a single holder tells its clientId,
 * expiresAt and fencingToken here too.
 */
export interface LockStatus {
  lockName: string;
  locked: boolean;
  mode?: 'exclusive' | 'shared';
  limit?: number;
  clientId?: string;
  expiresAt?: string;
  fencingToken?: number;
  holders: Holder[];
  queueLength: number;
  /** The first 100 in line; not in a listing. */
  waiters?: Waiter[];
}

/** Of the whole cluster, at most 2 s old. */
export interface Stats {
  activeLocks: number;
  waitingClients: number;
  contendedLocks: number;
  acquiredTotal: number;
  releasedTotal: number;
  expiredTotal: number;
  forceReleasedTotal: number;
  renewedTotal: number;
  deadlocksDetected: number;
  nodes: Array<{ id: string; [key: string]: unknown }>;
}

/** Who waits for whom; waiter and holder are owner ids. */
export interface Graph {
  owners: Array<{ clientId: string; ownerId: string }>;
  edges: Array<{
    waiter: string;
    waiterClientId: string;
    holder: string;
    holderClientId: string;
    lockName: string;
    since: string;
  }>;
  cycles: CycleStep[][];
  /** There are more edges than are shown. */
  truncated?: boolean;
  note?: string;
}

/** How a node is, and the Redis behind it. */
export interface Health {
  status: string;
  redis: { mode: string; latencyMs: number; role: string };
  version: string;
  /** Seconds. */
  uptime: number;
}

/** A new lease. */
export interface Renewal {
  /** RFC 3339, by the service's clock. */
  expiresAt: string;
  ttlMs: number;
  fencingToken: number;
}

/** Something that happened to a lock. */
export interface LockEvent {
  /**
   * granted, released, expired, renewed, force_released, queued, dequeued, deadlock; quarantine, which is about no lock,
   * for those who name it; or gap, where some may have been missed: read the state anew. Later versions of the service may tell of more.
   */
  kind: string;
  /** RFC 3339. */
  at: string;
  lockName?: string;
  /** Whose; the former holder's for expired and force_released. */
  clientId?: string;
  ownerId?: string;
  fencingToken?: number;
  /** Rises with every event of the lock. */
  seq?: number;
  reason?: string;
  cycle?: CycleStep[];
  /** What is left of a quarantine; 0 at its end. */
  seconds?: number;
}

export type EventKind =
  'granted' | 'released' | 'expired' | 'renewed' | 'force_released' | 'queued' | 'dequeued' | 'deadlock' | 'quarantine';

/** Where the client tells of connections that broke and locks that were lost; `console` is one. No secrets go there. */
export interface Logger {
  debug?(message: string, fields?: object): void;
  warn?(message: string, fields?: object): void;
}

export interface ClientOptions {
  /** More nodes, or more addresses of the service: the client uses one at a time, the next in this order when it fails. */
  endpoints?: ReadonlyArray<string | URL>;
  /** The bearer token. */
  token?: string;
  /** Who the client is to the service, 1 to 256 bytes. The default is made of host, process id and chance. */
  clientId?: string;
  /** How to speak TLS, for https addresses: ca, cert, key, servername… of `tls.connect`. */
  tls?: ConnectionOptions;
  /**
   * false: REST alone. Each wait is then a connection of its own, and a loss that is not the lease's end is noticed late.
   */
  webSocket?: boolean;
  /** How long a REST call and a WebSocket's handshake may take, waits in line aside. Default 10,000. */
  httpTimeoutMs?: number;
  /** The default is silence. */
  logger?: Logger;
}

export interface TryOptions {
  /** The client renews the lease, every third of it, until the lock is released or lost. */
  autoRenew?: boolean;
  /** Ends the renewal of autoRenew so long after the grant; the lease then runs out. */
  maxHoldMs?: number;
  /** For people who look at the lock; 4 KiB as JSON at most. */
  metadata?: Record<string, unknown> | null;
  /** Together with others who ask for it shared: readers together, writers alone. */
  shared?: boolean;
  /** One of so many permits, 1 to 10,000. All who use the lock must say the same. */
  limit?: number;
  /**
   * Who would hold the lock, for finding deadlocks: a task or job. The default is the owner of the asynchronous context
   * (see `withOwner` and `using`), or else a new one for each acquire.
   */
  owner?: string;
  /**
   * Names the request: asking again with it, even from another process with the same clientId, gets the same grant or
   * place in line. The default is a new random one for each acquire.
   */
  requestId?: string;
  /** Leaves the line when it is aborted; the promise is rejected with its reason, and a grant that crosses it goes back. */
  signal?: AbortSignal;
}

export interface AcquireOptions extends TryOptions {
  /** How long to wait in line. Default 30,000; 0 tries once (LockHeldError); Infinity waits without bound. */
  waitMs?: number;
  /** Told when the request is queued, and whenever the line moves. Not over REST. */
  onQueued?: (place: Place) => void;
}

export interface UsingOptions extends AcquireOptions {
  /** The lease, default 30,000. It is renewed unless autoRenew is false. */
  ttlMs?: number;
}

/** A lock that was granted. Neither `util.inspect` nor `JSON.stringify` shows its secrets. */
export class Lock {
  private constructor();
  /** What the grant is released by. A secret. */
  readonly lockId: string;
  readonly name: string;
  readonly clientId: string;
  readonly ownerId: string;
  readonly requestId: string;
  /** What the grant is renewed by. A secret. */
  readonly renewalToken: string;
  /** Rises with every grant of the lock. Give it to what the lock protects, which refuses lower ones. */
  readonly fencingToken: number;
  /** How long the request stood in line. */
  readonly waitedMs: number;
  readonly autoRenew: boolean;
  readonly metadata: Record<string, unknown> | null;
  /** Whether the lock is held, this very moment, by the local monotonic clock. */
  readonly held: boolean;
  /** Whether it was lost: its lease ended, an admin took it, or the service forgot it. */
  readonly lost: boolean;
  /**
   * For how long the lease lasts at the least, 0 once the lock is not held. It counts as lost a little before: a tenth of
   * the lease, at least 10 and at most 500 ms.
   */
  readonly leftMs: number;
  /**
   * Aborted when the lock is no longer held: with a LockLostError before the lease ends, or when the service says so;
   * with a LockReleasedError on release.
   */
  readonly signal: AbortSignal;
  /** @throws LockLostError or LockReleasedError where the lock is no longer held */
  ensureHeld(): void;
  /**
   * Gives the lock a new lease from now on, and tries until it is lost.
   * @param ttlMs by default the lease's own length
   * @throws LockLostError, LockReleasedError, InvalidArgumentError
   */
  renew(ttlMs?: number): Promise<void>;
  /**
   * Gives the lock back, and waits up to 5 s for the service to say so. It is idempotent.
   * @throws LockLostError where it was lost before, LockServiceUnavailable where the service could not be told: the
   *   lease then runs out
   */
  release(): Promise<void>;
  /** release, for `await using` */
  [Symbol.asyncDispose](): Promise<void>;
  toJSON(): object;
}

/** A subscription's events. Leaving the loop ends the subscription. */
export interface LockEvents extends AsyncIterableIterator<LockEvent> {
  [Symbol.asyncIterator](): LockEvents;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Talks to the lock service, over one WebSocket for all its calls. All times are milliseconds. A call whose promise is pending
 * keeps the process alive, `using` with its function too; a lock that is only held does not.
 */
export class DistributedLockClient {
  /**
   * It connects with the first call that needs it.
   * @param url http://host:port or https://host:port, with a path where the service has one
   * @throws InvalidArgumentError
   */
  constructor(url: string | URL, options?: ClientOptions);

  readonly clientId: string;

  /**
   * Takes a lock, and waits in line for it. Release what it returns.
   * @param name any text of 1 to 512 bytes of UTF-8 without control characters, but for `.` and `..`
   * @param ttlMs the lease, 100 to the service's MAX_TIMEOUT (300,000); by default the service's (30,000)
   * @throws LockTimeoutError, LockHeldError where it does not wait, DeadlockError, LimitMismatchError,
   *   RequestMismatchError, InvalidArgumentError, QueueFullError, UnauthorizedError, ForbiddenError, ClientClosedError,
   *   LockServiceUnavailable with the last cause where the service was not reached in time (in 5 s at least), and the
   *   signal's reason
   */
  acquire(name: string, ttlMs?: number, options?: AcquireOptions): Promise<Lock>;

  /**
   * acquire that never waits in line: null where somebody holds the lock. It tries for 5 s at most to reach the service.
   */
  tryAcquire(name: string, ttlMs?: number, options?: TryOptions): Promise<Lock | null>;

  /**
   * Holds the lock, renewed, while fn runs, and resolves with what it returns. The signal is the lock's: fn should stop
   * when it is aborted. What fn acquires belongs to the lock's owner.
   * @throws what acquire does; LockLostError where the lock was lost while fn ran, whatever fn made of the signal; what fn
   *   throws
   */
  using<T>(name: string, fn: (signal: AbortSignal, lock: Lock) => T | Promise<T>): Promise<T>;
  using<T>(name: string, options: UsingOptions, fn: (signal: AbortSignal, lock: Lock) => T | Promise<T>): Promise<T>;

  /** Runs fn, whose acquires, however deep and late, are this owner's where they name none. */
  withOwner<T>(owner: string, fn: () => T): T;

  /**
   * Gives a grant back by what `lock.lockId` was, for programs that keep it.
   * @returns how long it was held, in ms
   * @throws LockLostError where it is gone, NotOwnerError, LockServiceUnavailable
   */
  release(name: string, lockId: string): Promise<number>;

  /**
   * Gives a grant a new lease by what `lock.renewalToken` was.
   * @param ttlMs by default the lease's own length
   * @throws LockLostError where it is gone, NotOwnerError, InvalidArgumentError, LockServiceUnavailable
   */
  renew(name: string, renewalToken: string, ttlMs?: number): Promise<Renewal>;

  /** Who holds a lock and who waits for it. A free lock is no error. */
  status(name: string): Promise<LockStatus>;

  /** The locks held whose names begin with prefix, page by page. A lock held throughout appears exactly once. */
  list(prefix?: string): AsyncGenerator<LockStatus, void, undefined>;

  stats(): Promise<Stats>;

  /** Who waits for whom. */
  graph(): Promise<Graph>;

  /** The graph as Graphviz draws it. */
  graphDot(): Promise<string>;

  /**
   * How the node is that is asked.
   * @throws LockServiceUnavailable where Redis does not answer
   */
  health(): Promise<Health>;

  /**
   * Takes a lock from its holders, who are told; it needs an admin's token.
   * @param reason is logged; 1 KiB at most
   * @returns who held it
   * @throws NotLockedError, ForbiddenError
   */
  forceRelease(name: string, reason?: string): Promise<Holder[]>;

  /**
   * Tells of what happens to locks from now on, until the loop is left or the signal is aborted, which ends the loop. When
   * events may be missing, as the connection broke or the loop is too slow, there is one of kind gap.
   * @param locks names; with a * at the end, beginnings; default all
   * @param events kinds; default all
   * @throws in the loop: ClientClosedError, ForbiddenError, InvalidArgumentError, LockServiceUnavailable where no
   *   WebSocket can be had
   */
  subscribe(
    locks?: string | readonly string[],
    events?: readonly EventKind[],
    options?: { signal?: AbortSignal },
  ): LockEvents;

  /**
   * Ends the client: waits end with a ClientClosedError, and what is held is released, for which it waits up to 2 s. It is
   * idempotent and does not reject.
   */
  close(): Promise<void>;
  /** close, for `await using` */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What every error of this package is. The optional fields are what the service told. */
export class LockError extends Error {
  /** Names the case, for programs: LOCK_HELD, LOCK_TIMEOUT, DEADLOCK…; LOCK_ERROR for what this version does not know. */
  readonly code: string;
  /** The service's own code: lock_held, draining… */
  readonly serviceCode?: string;
  /** The HTTP status of the case, over a WebSocket too. */
  readonly status?: number;
  /** For people: what the case is. */
  readonly title?: string;
  /** For people: what happened this time and what to do. It is in the message. */
  readonly detail?: string;
  /** The acquire's, or else the X-Request-Id that the service logged. */
  readonly requestId?: string;
  readonly lockName?: string;
  /** Up to 100 of those in the way. */
  readonly holders?: Holder[];
  /** How many wait. */
  readonly queueLength?: number;
  /** How long the request waited. */
  readonly waitTimeMs?: number;
  /** How long to wait before asking again. */
  readonly retryAfterMs?: number;
}

/** LOCK_TIMEOUT: the lock did not come free within the wait. */
export class LockTimeoutError extends LockError {
  readonly holders: Holder[];
  readonly queueLength: number;
}
/** LOCK_HELD: somebody else holds the lock, and the call does not wait. */
export class LockHeldError extends LockTimeoutError {}
/** DEADLOCK: the request was failed to break a deadlock. Release what is held, then begin anew. */
export class DeadlockError extends LockError {
  /** Each waits for what the next one holds, the last for what the first holds. */
  readonly cycle: CycleStep[];
}
/** LOCK_LOST: the lock is no longer held: its lease ran out, it was taken, or the service forgot it. */
export class LockLostError extends LockError {}
/** LOCK_RELEASED: the lock was released here. */
export class LockReleasedError extends LockError {}
/** NOT_OWNER: the grant is another client's. */
export class NotOwnerError extends LockError {}
/** NOT_LOCKED: there is nothing to force. */
export class NotLockedError extends LockError {}
/** LIMIT_MISMATCH: the lock is in use with another limit. */
export class LimitMismatchError extends LockError {
  /** The live lock's. */
  readonly limit: number;
}
/** REQUEST_MISMATCH: the requestId was used for another request. */
export class RequestMismatchError extends LockError {}
/** INVALID_ARGUMENT: something about the call is not allowed; nothing was done. */
export class InvalidArgumentError extends LockError {
  /** All that is wrong. */
  readonly fields: Array<{ field: string; detail: string }>;
}
/** TOO_LARGE: the request has more than 64 KiB. */
export class TooLargeError extends LockError {}
/** UNAUTHORIZED: no token, or a wrong one. */
export class UnauthorizedError extends LockError {}
/** FORBIDDEN: the token does not allow it, or the service has no admin token. */
export class ForbiddenError extends LockError {}
/** QUEUE_FULL: as many wait for the lock as may. */
export class QueueFullError extends LockError {}
/** RATE_LIMITED: the node takes no more requests for now. */
export class RateLimitedError extends LockError {}
/** UNAVAILABLE: no endpoint can be reached, or the service cannot do it now. `cause` is the last cause. */
export class LockServiceUnavailable extends LockError {}
/**
 * OUTCOME_UNKNOWN: the service does not know whether it was done. Asking again with the same requestId settles it, which the
 * client does by itself.
 */
export class OutcomeUnknownError extends LockError {}
/** CLIENT_CLOSED: the client was closed. */
export class ClientClosedError extends LockError {}

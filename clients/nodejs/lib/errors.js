'use strict';

/**
 * What every error of this package is. The fields are what the service told; client.d.ts documents them.
 */
class LockError extends Error {
  /**
   * @param {string} message
   * @param {object} [details] the fields
   * @param {ErrorOptions} [options]
   */
  constructor(message, details, options) {
    super(message, options);
    Object.assign(this, details);
    this.code = CODES.get(new.target) ?? 'LOCK_ERROR';
  }

  /** @override */
  get name() {
    return this.constructor.name;
  }
}

class LockTimeoutError extends LockError {}
class LockHeldError extends LockTimeoutError {}
class DeadlockError extends LockError {}
class LockLostError extends LockError {}
class LockReleasedError extends LockError {}
class NotOwnerError extends LockError {}
class NotLockedError extends LockError {}
class LimitMismatchError extends LockError {}
class RequestMismatchError extends LockError {}
class InvalidArgumentError extends LockError {}
class TooLargeError extends LockError {}
class UnauthorizedError extends LockError {}
class ForbiddenError extends LockError {}
class QueueFullError extends LockError {}
class RateLimitedError extends LockError {}
class LockServiceUnavailable extends LockError {}
class OutcomeUnknownError extends LockError {}
class ClientClosedError extends LockError {}

/** @type {Map<Function, string>} */
const CODES = new Map(
  Object.entries({
    LOCK_TIMEOUT: LockTimeoutError,
    LOCK_HELD: LockHeldError,
    DEADLOCK: DeadlockError,
    LOCK_LOST: LockLostError,
    LOCK_RELEASED: LockReleasedError,
    NOT_OWNER: NotOwnerError,
    NOT_LOCKED: NotLockedError,
    LIMIT_MISMATCH: LimitMismatchError,
    REQUEST_MISMATCH: RequestMismatchError,
    INVALID_ARGUMENT: InvalidArgumentError,
    TOO_LARGE: TooLargeError,
    UNAUTHORIZED: UnauthorizedError,
    FORBIDDEN: ForbiddenError,
    QUEUE_FULL: QueueFullError,
    RATE_LIMITED: RateLimitedError,
    UNAVAILABLE: LockServiceUnavailable,
    OUTCOME_UNKNOWN: OutcomeUnknownError,
    CLIENT_CLOSED: ClientClosedError,
  }).map(([code, type]) => [type, code]),
);

/** What the service's codes become. */
const TYPES = new Map(
  Object.entries({
    wait_timeout: LockTimeoutError,
    lock_held: LockHeldError,
    deadlock: DeadlockError,
    lock_lost: LockLostError,
    not_owner: NotOwnerError,
    not_locked: NotLockedError,
    limit_mismatch: LimitMismatchError,
    request_mismatch: RequestMismatchError,
    invalid_argument: InvalidArgumentError,
    too_large: TooLargeError,
    unauthorized: UnauthorizedError,
    forbidden: ForbiddenError,
    admin_disabled: ForbiddenError,
    queue_full: QueueFullError,
    rate_limited: RateLimitedError,
    unavailable: LockServiceUnavailable,
    draining: LockServiceUnavailable,
    outcome_unknown: OutcomeUnknownError,
  }),
);

const RETRYABLE = new Set(['outcome_unknown', 'draining', 'unavailable', 'rate_limited', 'internal']);

/** No WebSocket can be had: the service, or something before it, speaks none. It never leaves this package. */
class NoWebSocket extends Error {}

/**
 * The service's code of an error, '' where it is not the service's word.
 * @param {any} error
 * @returns {string}
 */
const serviceCodeOf = (error) => (error instanceof LockError && /** @type {any} */ (error).serviceCode) || '';

/**
 * Whether asking again may help, without anybody doing anything.
 * @param {unknown} error
 */
function retryable(error) {
  if (error instanceof NoWebSocket || error instanceof LockServiceUnavailable) return true;
  return RETRYABLE.has(serviceCodeOf(error));
}

/**
 * Whether an error is the service's last word, not the lack of one.
 * @param {unknown} error
 */
const isRefusal = (error) => serviceCodeOf(error) !== '' && !retryable(error);

/**
 * How long the service asked to wait, ms, 0 where it did not.
 * @param {any} error
 * @returns {number}
 */
const retryAfterMs = (error) => (error instanceof LockError && /** @type {any} */ (error).retryAfterMs) || 0;

/**
 * The error of a problem or an error frame.
 * @param {any} problem as it came, or undefined for an answer that is not the service's
 * @param {{status?: number, lockName?: string, retryAfterMs?: number, text?: string}} [about] what counts where the
 *   problem does not tell
 */
function fromProblem(problem, about = {}) {
  if (typeof problem?.code !== 'string' || problem.code === '') {
    problem = {
      code: codeOf(about.status ?? 0),
      title: 'An answer that is not the service’s',
      detail: about.text?.slice(0, 200),
    };
  }
  const Type = TYPES.get(problem.code) ?? LockError;
  const details = detailsOf(problem, about);
  if (Type === LockHeldError || Type === LockTimeoutError) {
    details.holders ??= [];
    details.queueLength ??= 0;
  }
  if (Type === DeadlockError) details.cycle ??= [];
  if (Type === InvalidArgumentError) details.fields ??= [];
  return new Type(messageOf(details), details);
}

/** @param {any} problem @param {{status?: number, lockName?: string, retryAfterMs?: number}} about */
function detailsOf(problem, about) {
  const seconds = (/** @type {any} */ n) => (typeof n === 'number' ? n * 1000 : undefined);
  /** @type {Record<string, any>} */
  const all = {
    serviceCode: problem.code,
    status: problem.status || about.status,
    title: problem.title,
    detail: problem.detail,
    requestId: problem.requestId,
    lockName: about.lockName ?? problem.lockName,
    holders: problem.holders,
    queueLength: problem.queueLength,
    waitTimeMs: seconds(problem.waitTime),
    cycle: problem.cycle,
    limit: problem.limit,
    retryAfterMs: about.retryAfterMs || seconds(problem.retryAfter),
    fields: problem.errors,
  };
  return /** @type {Record<string, any>} */ (
    Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null))
  );
}

/** @param {Record<string, any>} details */
function messageOf({ lockName, detail, title, serviceCode, status }) {
  const what = detail ? `${detail} (${serviceCode})` : `${title} (${serviceCode}, status ${status})`;
  return lockName && !what.includes(lockName) ? `${lockName}: ${what}` : what;
}

/**
 * The code of an answer that came from something between us and the service.
 * @param {number} status
 */
function codeOf(status) {
  const known = {
    401: 'unauthorized',
    403: 'forbidden',
    404: 'not_found',
    405: 'method_not_allowed',
    413: 'too_large',
  };
  if (status in known) return known[/** @type {keyof typeof known} */ (status)];
  if (status === 429) return 'rate_limited';
  if (status >= 502) return 'unavailable';
  return status >= 500 ? 'internal' : 'invalid_argument';
}

/**
 * Refuses an argument before anything is sent.
 * @param {string} field
 * @param {string} detail
 */
function invalid(field, detail) {
  return fromProblem({
    code: 'invalid_argument',
    status: 400,
    title: 'The request is not valid',
    detail: `${field} ${detail}. Nothing was sent.`,
    errors: [{ field, detail }],
  });
}

/**
 * What a call fails with that got no answer in time, with the last cause.
 * @param {any} cause
 * @param {string} [lockName]
 */
function unavailable(cause, lockName) {
  if (cause instanceof LockServiceUnavailable) return cause;
  const what = `the lock service is unavailable${cause ? `: ${why(cause)}` : ''}`;
  const told = cause instanceof LockError ? { ...cause } : {};
  const message = `${lockName ? `${lockName}: ` : ''}${what} (unavailable)`;
  return new LockServiceUnavailable(message, { ...told, ...(lockName && { lockName }) }, cause ? { cause } : undefined);
}

/**
 * What an error says, for people. A failed connection to a host of several addresses has its words inside.
 * @param {any} error
 * @returns {string}
 */
function why(error) {
  if (error?.message) return error.message;
  return error?.errors?.map(why).join(', ') || error?.code || String(error);
}

/** @param {string} lockName @param {string} reason */
const lossOf = (lockName, reason) =>
  new LockLostError(`${lockName}: the lock is lost: ${reason} (lock_lost)`, { lockName });

/** @param {string} lockName */
const releasedOf = (lockName) => new LockReleasedError(`${lockName}: the lock was released here`, { lockName });

const closed = () => new ClientClosedError('the client is closed');

module.exports = {
  LockError,
  LockTimeoutError,
  LockHeldError,
  DeadlockError,
  LockLostError,
  LockReleasedError,
  NotOwnerError,
  NotLockedError,
  LimitMismatchError,
  RequestMismatchError,
  InvalidArgumentError,
  TooLargeError,
  UnauthorizedError,
  ForbiddenError,
  QueueFullError,
  RateLimitedError,
  LockServiceUnavailable,
  OutcomeUnknownError,
  ClientClosedError,
  NoWebSocket,
  serviceCodeOf,
  retryable,
  isRefusal,
  retryAfterMs,
  fromProblem,
  invalid,
  unavailable,
  why,
  lossOf,
  releasedOf,
  closed,
};

'use strict';

const { DistributedLockClient, Lock } = require('./lib/client');
const errors = require('./lib/errors');

module.exports = {
  DistributedLockClient,
  Lock,
  LockError: errors.LockError,
  LockTimeoutError: errors.LockTimeoutError,
  LockHeldError: errors.LockHeldError,
  DeadlockError: errors.DeadlockError,
  LockLostError: errors.LockLostError,
  LockReleasedError: errors.LockReleasedError,
  NotOwnerError: errors.NotOwnerError,
  NotLockedError: errors.NotLockedError,
  LimitMismatchError: errors.LimitMismatchError,
  RequestMismatchError: errors.RequestMismatchError,
  InvalidArgumentError: errors.InvalidArgumentError,
  TooLargeError: errors.TooLargeError,
  UnauthorizedError: errors.UnauthorizedError,
  ForbiddenError: errors.ForbiddenError,
  QueueFullError: errors.QueueFullError,
  RateLimitedError: errors.RateLimitedError,
  LockServiceUnavailable: errors.LockServiceUnavailable,
  OutcomeUnknownError: errors.OutcomeUnknownError,
  ClientClosedError: errors.ClientClosedError,
};

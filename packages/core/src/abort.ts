/**
 * Cancellation: every long call takes an AbortSignal and ends with AbortedError when it fires.
 * @module
 */
import { AbortedError } from "./errors.ts";

/** Throws AbortedError when the signal has fired; cheap enough for a loop over chunks. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(signal);
}

/** The AbortedError for a signal that has fired, with the signal's reason as its cause. */
export function abortedError(signal: AbortSignal): AbortedError {
  const reason: unknown = signal.reason;
  return reason instanceof AbortedError ? reason : new AbortedError("interrupted", { cause: reason });
}

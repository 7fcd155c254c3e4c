/**
 * When a request is tried again, and after how long. Every request may be repeated: reads,
 * and writes of content whose name says what it is; the wait doubles with each attempt and is spread at random, so that many clients of a
 * server that comes back do not return in the same instant.
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { abortedError, systemErrorCode } from "@imgtool/core";

export interface RetryOptions {
  /** How often a failed request is tried again. Default 5. */
  readonly retries?: number;
  /** Wait before the first repetition in milliseconds; doubles each time. Default 250. */
  readonly retryDelay?: number;
  /** Longest wait in milliseconds, also when the server's Retry-After asks for more. Default 30000. */
  readonly maxRetryDelay?: number;
}

/** Answers that say "not now": RFC 9110 408, 5xx; RFC 8470 425; RFC 6585 429. */
export function isTransientStatus(status: number): boolean {
  // 501 and 505 do not change by asking again
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

// A name that does not exist, a certificate that is not trusted, a request that cannot be sent.
const permanent: RegExp = /^(ENOTFOUND|UND_ERR_INVALID_ARG|UND_ERR_NOT_SUPPORTED)$|CERT|SIGNED|_ALTNAME_|ERR_SSL/;

/** Whether a failed exchange may succeed the next time: all do but wrong names and certificates. */
export function isTransientError(error: unknown): boolean {
  return !permanent.test(systemErrorCode(error) ?? "");
}

/**
 * How long to wait, in milliseconds, before attempt number `attempt` (1 is the first repetition).
 * @param retryAfter the server's Retry-After header: seconds or a date (RFC 9110, 10.2.3)
 */
export function retryDelay(attempt: number, options: RetryOptions, retryAfter?: string): number {
  const longest = options.maxRetryDelay ?? 30_000;
  const asked = retryAfterMilliseconds(retryAfter);
  if (asked !== undefined) return Math.min(asked, longest);
  const delay = Math.min((options.retryDelay ?? 250) * 2 ** (attempt - 1), longest);
  return delay * (0.5 + Math.random() / 2);
}

function retryAfterMilliseconds(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(date - Date.now(), 0);
}

/** @throws AbortedError when the signal fires meanwhile */
export async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted === true) throw abortedError(signal);
    throw error;
  }
}

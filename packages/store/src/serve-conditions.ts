/**
 * Conditional and range requests for a file: RFC 9110, 13 and 14.
 * @module
 */
import type { IncomingHttpHeaders } from "node:http";

/** What identifies the content that a file has now. */
export interface Validators {
  readonly etag: string;
  readonly lastModified: string;
  readonly size: number;
}

/** Which bytes are sent: `end` is exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Whether the client's copy is still good: the answer is 304. */
export function isNotModified(headers: IncomingHttpHeaders, file: Validators): boolean {
  const match = headers["if-none-match"];
  if (match !== undefined) {
    const tags = new Set(match.split(",").map((tag) => tag.trim().replace(/^W\//, "")));
    return tags.has(file.etag) || tags.has("*");
  }
  const since = Date.parse(headers["if-modified-since"] ?? "");
  return !Number.isNaN(since) && Date.parse(file.lastModified) <= since;
}

/**
 * The range that a request asks for. Undefined means the whole file: no range, one that is not
 * understood, more than one, or a file that changed since (If-Range).
 * @returns "unsatisfiable" when the range begins behind the end: the answer is 416
 */
export function requestedRange(
  headers: IncomingHttpHeaders,
  file: Validators,
): ByteRange | "unsatisfiable" | undefined {
  const condition = headers["if-range"];
  if (condition !== undefined && condition !== file.etag && condition !== file.lastModified) return undefined;
  const match = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/.exec(headers.range ?? "");
  if (match === null) return undefined;
  const [, first, last, suffix] = match;
  if (first === undefined) {
    const length = Math.min(Number(suffix), file.size);
    return length === 0 ? "unsatisfiable" : { start: file.size - length, end: file.size };
  }
  const start = Number(first);
  const end = last === undefined || last === "" ? file.size : Math.min(Number(last) + 1, file.size);
  if (start >= file.size) return "unsatisfiable";
  return start < end ? { start, end } : undefined;
}

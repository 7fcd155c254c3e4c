/**
 * Parts of what a URL has (RFC 9110, 14), of one version only: whatever the server says of conditions, an
 * answer counts when it is the part that was asked for.
 * @module
 */
import { FormatError } from "@imgtool/core";
import type { HttpAnswer, HttpClient } from "./http-client.ts";
import { encodingError } from "./http-errors.ts";
import type { HttpTarget } from "./http-target.ts";

type Headers = Readonly<Record<string, string>>;

export interface RangeRequest {
  readonly offset: number;
  readonly length: number;
  /** Conditions, beside the range. */
  readonly headers?: Headers;
  readonly signal?: AbortSignal | undefined;
}

export interface RangeAnswer {
  readonly bytes: Uint8Array;
  readonly headers: HttpAnswer["headers"];
  /** Length of the whole. */
  readonly total: number;
}

/** How requests are sent: HttpClient.send(), or with what a service adds to them. */
export type SendRequest = HttpClient["send"];

/**
 * Asks for a part.
 * @returns "whole" when the server does not send that part: it knows no ranges, or the conditions do not hold
 *   any more; undefined when there is nothing
 * @throws as HttpClient.send()
 */
export async function requestRange(
  send: SendRequest,
  target: HttpTarget,
  { offset, length, headers, signal }: RangeRequest,
): Promise<RangeAnswer | "whole" | undefined> {
  let answer: HttpAnswer | undefined;
  try {
    answer = await send(target, {
      method: "GET",
      headers: { ...headers, range: `bytes=${offset}-${offset + length - 1}` },
      accept: [206, 412, 416],
      maxBytes: length,
      signal,
    });
  } catch (error) {
    // An answer that is longer than the part: it is not taken.
    if (error instanceof FormatError && error.code === "http-too-large") return "whole";
    throw error;
  }
  if (answer === undefined) return undefined;
  const encoding = answer.headers["content-encoding"] ?? "identity";
  if (answer.status === 206 && encoding !== "identity") throw encodingError(target, String(encoding));
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(String(answer.headers["content-range"]));
  const [, first, last, total] = (match ?? []).map(Number);
  const isIt = first === offset && last === offset + length - 1 && answer.bytes.length === length;
  if (answer.status !== 206 || !isIt || total === undefined) return "whole";
  return { bytes: answer.bytes, headers: answer.headers, total };
}

/**
 * What tells the content of a URL from any other that it has had: a strong ETag, or the time of the last
 * change, when that lies a second or more before the answer (RFC 9110, 8.8.2.2). Undefined where the server
 * says neither.
 */
export function strongValidator(headers: HttpAnswer["headers"]): string | undefined {
  const { etag, date, "last-modified": modified } = headers;
  if (typeof etag === "string" && etag.startsWith('"')) return etag;
  if (typeof modified !== "string" || typeof date !== "string") return undefined;
  return Date.parse(date) - Date.parse(modified) >= 1000 ? modified : undefined;
}

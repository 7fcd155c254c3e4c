/**
 * Signatures with an account's key: "Authorize with Shared Key" of Azure Storage's REST reference, in
 * the form of the versions from 2015-02-21 on, where an empty body has no length.
 * @module
 */
import { createHmac } from "node:crypto";
import type { SignableRequest } from "./http-client.ts";

/** Standard headers in the order in which they are signed; Date is empty, because x-ms-date is there. */
const signedHeaders = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  "date",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
] as const;

/** @param key the account's, in base64 */
export function sharedKeySigner(
  account: string,
  key: string,
): (request: SignableRequest) => Promise<Readonly<Record<string, string>>> {
  const secret = Buffer.from(key, "base64");
  return async (request) => {
    // each time it is sent: the service takes no signature that is older than a quarter of an hour
    const headers = { ...request.headers, "x-ms-date": new Date().toUTCString() };
    const signature = createHmac("sha256", secret)
      .update(stringToSign(account, { ...request, headers }))
      .digest("base64");
    return { ...headers, authorization: `SharedKey ${account}:${signature}` };
  };
}

/** What a signature is made over. */
export function stringToSign(account: string, { method, target, headers, body }: SignableRequest): string {
  const length = body === undefined || body.length === 0 ? "" : String(body.length);
  const all: Readonly<Record<string, string>> = { ...headers, "content-length": length };
  const own = Object.entries(headers)
    .filter(([name]) => name.startsWith("x-ms-"))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value.trim()}`);
  const query = Array.from(new URLSearchParams(target.query), ([name, value]) => `${name.toLowerCase()}:${value}`);
  return [
    method,
    ...signedHeaders.map((name) => all[name] ?? ""),
    ...own,
    [`/${account}${target.path || "/"}`, ...query.sort()].join("\n"),
  ].join("\n");
}

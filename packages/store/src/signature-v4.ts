/**
 * Signatures of version 4, in Amazon's words and in Google's, which differ in names only: "Signature
 * Version 4 signing process" of the S3 API reference; "Signatures" of Cloud Storage's XML API.
 * @module
 */
import { createHash, createHmac } from "node:crypto";
import type { SignableRequest } from "./http-client.ts";

/** What one provider calls things. */
export interface SignatureWords {
  readonly algorithm: string;
  /** What stands before the secret in the first key. */
  readonly keyPrefix: string;
  readonly terminator: string;
  readonly service: string;
  /** What the provider's own headers begin with: they are all signed. */
  readonly headerPrefix: string;
}

export const amazonWords: SignatureWords = {
  algorithm: "AWS4-HMAC-SHA256",
  keyPrefix: "AWS4",
  terminator: "aws4_request",
  service: "s3",
  headerPrefix: "x-amz-",
};

export const googleWords: SignatureWords = {
  algorithm: "GOOG4-HMAC-SHA256",
  keyPrefix: "GOOG4",
  terminator: "goog4_request",
  service: "storage",
  headerPrefix: "x-goog-",
};

export interface SigningKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

type Sign = (request: SignableRequest) => Promise<Readonly<Record<string, string>>>;

/**
 * Signs the provider's own headers and the path, query and body: what others add on the way may change.
 * @param datetime the time of the signature as `YYYYMMDDThhmmssZ`; default now
 */
export function signerV4(words: SignatureWords, key: SigningKey, region: string, datetime?: string): Sign {
  const { headerPrefix } = words;
  return async ({ method, target, headers, body }) => {
    const time = datetime ?? new Date().toISOString().replaceAll(/[:-]|\.\d+/g, "");
    const digest = sha256(body ?? "");
    const own = {
      ...Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith(headerPrefix))),
      [`${headerPrefix}content-sha256`]: digest,
      [`${headerPrefix}date`]: time,
      ...(key.sessionToken === undefined ? {} : { [`${headerPrefix}security-token`]: key.sessionToken }),
    };
    const signed = Object.entries({ ...own, host: new URL(target.origin).host }).sort(byName);
    const names = signed.map(([name]) => name).join(";");
    const canonical = [
      method,
      target.path || "/",
      canonicalQuery(target.query),
      ...signed.map(([name, value]) => `${name}:${value.trim()}`),
      "",
      names,
      digest,
    ].join("\n");
    const scope = `${time.slice(0, 8)}/${region}/${words.service}/${words.terminator}`;
    const text = [words.algorithm, time, scope, sha256(canonical)].join("\n");
    let signing: Buffer = Buffer.from(words.keyPrefix + key.secretAccessKey);
    for (const part of scope.split("/")) signing = hmac(signing, part);
    const signature = hmac(signing, text).toString("hex");
    const authorization = `${words.algorithm} Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
    return { ...headers, ...own, authorization };
  };
}

function canonicalQuery(query: string): string {
  return Array.from(new URLSearchParams(query), ([name, value]): [string, string] => [
    encodePart(name),
    encodePart(value),
  ])
    .sort(byName)
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : Number(a > b);
}

/** A key's parts percent-encoded as signatures want it: all but letters, digits and `-._~`. */
export function encodePath(key: string): string {
  return key.split("/").map(encodePart).join("/");
}

function encodePart(part: string): string {
  return encodeURIComponent(part).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

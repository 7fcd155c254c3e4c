/**
 * Locations of stores in buckets, taken apart: `SCHEME://bucket/prefix` at the provider's, and
 * `SCHEME+https://host/bucket/prefix` or `SCHEME+http://…` elsewhere.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { HttpTarget } from "./http-target.ts";

export interface BucketPlace {
  /** The bucket's URL. */
  readonly target: HttpTarget;
  readonly bucket: string;
  /** What all keys of the store begin with: empty, or ending with a slash. */
  readonly prefix: string;
}

export interface BucketScheme {
  readonly scheme: "s3" | "gs";
  /** The URL of a bucket at the provider's. */
  readonly url: (bucket: string) => string;
  /** Which variables hold the credentials that a URL must not. */
  readonly variables: string;
}

/** Whether a location is in a bucket of the scheme. */
export function isBucketLocation(scheme: string, location: string): boolean {
  return new RegExp(`^${scheme}(?:\\+https?)?://`).test(location);
}

/** @throws ConfigError `url-invalid`; `credentials-in-url` */
export function parseBucketLocation(location: string, { scheme, url, variables }: BucketScheme): BucketPlace {
  const [before = "", ...after] = location.split("://");
  const rest = after.join("://");
  const names = rest.split("/");
  if (names[0]?.includes("@") === true) {
    throw new ConfigError("the URL of a bucket holds credentials, which other users of this machine can see", {
      code: "credentials-in-url",
      hint: `set ${variables} instead`,
    });
  }
  const host = before === scheme ? undefined : names.shift();
  const bucket = names.shift() ?? "";
  const base = host === undefined ? url(bucket) : `${before.slice(scheme.length + 1)}://${host}/${bucket}`;
  const parts = names.filter((name) => name !== "");
  const isBucketName = /^[a-z0-9A-Z][a-zA-Z0-9._-]{1,254}$/.test(bucket) && !bucket.includes("..");
  if (!isBucketName || !URL.canParse(base) || parts.some(isHostilePart)) {
    throw new ConfigError(`not the location of a bucket: ${location.split("?", 1)[0]}`, {
      code: "url-invalid",
      hint: `expected ${scheme}://bucket/prefix or ${scheme}+https://host/bucket/prefix`,
      data: { found: location.split("?", 1)[0] },
    });
  }
  return { target: bareTarget(base), bucket, prefix: prefixOf(parts) };
}

/** Names in a location that would mean something else in a URL. */
export function isHostilePart(part: string): boolean {
  return part === "." || part === ".." || /[?#\0\r\n]/.test(part);
}

/** What all keys below these folders begin with. */
export function prefixOf(parts: readonly string[]): string {
  return parts.map((part) => `${part}/`).join("");
}

/** A URL without credentials and query as a target, without a slash at its end. */
export function bareTarget(text: string): HttpTarget {
  const url = new URL(text);
  const path = url.pathname.replace(/\/$/, "");
  return { origin: url.origin, path, query: "", authorization: undefined, shown: `${url.origin}${path}` };
}

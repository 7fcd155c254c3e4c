/**
 * Locations of stores in S3 buckets, taken apart.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { HttpTarget } from "./http-target.ts";

export interface S3Place {
  /** The bucket's URL. */
  readonly target: HttpTarget;
  readonly bucket: string;
  /** What all keys of the store begin with: empty, or ending with a slash. */
  readonly prefix: string;
}

const schemePattern = /^s3(?:\+https?)?:\/\//;

/** Whether a location is in a bucket: `s3://bucket/prefix`, `s3+http://` or `s3+https://host/bucket/prefix`. */
export function isS3Location(location: string): boolean {
  return schemePattern.test(location);
}

/**
 * @param endpoint where s3:// buckets are, instead of at Amazon's
 * @throws ConfigError `url-invalid`; `credentials-in-url`
 */
export function parseS3Location(location: string, region: string, endpoint?: string): S3Place {
  const scheme = schemePattern.exec(location)?.[0] ?? "";
  const rest = location.slice(scheme.length);
  if (rest.slice(0, rest.indexOf("/") + 1 || undefined).includes("@")) {
    throw new ConfigError("the URL of a bucket holds credentials, which other users of this machine can see", {
      code: "credentials-in-url",
      hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
    });
  }
  const names = rest.split("/");
  const host = scheme === "s3://" ? undefined : names.shift();
  const bucket = names.shift() ?? "";
  const base =
    host === undefined ? amazons(bucket, region, endpoint) : `${scheme.slice("s3+".length)}${host}/${bucket}`;
  const parts = names.filter((name) => name !== "");
  const isBucketName = /^[a-z0-9A-Z][a-zA-Z0-9._-]{1,254}$/.test(bucket) && !bucket.includes("..");
  if (
    !isBucketName ||
    !URL.canParse(base) ||
    parts.some((part) => part === "." || part === ".." || /[?#\0]/.test(part))
  ) {
    throw new ConfigError(`not the location of a bucket: ${location.split("?", 1)[0]}`, {
      code: "url-invalid",
      hint: "expected s3://bucket/prefix or s3+https://host/bucket/prefix",
      data: { found: location.split("?", 1)[0] },
    });
  }
  const url = new URL(base);
  const path = url.pathname === "/" ? "" : url.pathname;
  return {
    target: { origin: url.origin, path, query: "", authorization: undefined, shown: `${url.origin}${path}` },
    bucket,
    prefix: parts.map((part) => `${part}/`).join(""),
  };
}

/** A name with dots does not fit the certificate of the buckets' own hosts. */
function amazons(bucket: string, region: string, endpoint: string | undefined): string {
  if (endpoint !== undefined && endpoint !== "") return `${endpoint.replace(/\/$/, "")}/${bucket}`;
  const host = `s3.${region}.amazonaws.com`;
  return bucket.includes(".") ? `https://${host}/${bucket}` : `https://${bucket}.${host}`;
}

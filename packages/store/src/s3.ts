/**
 * Driver: a chunk store on Amazon S3 or anything that speaks its REST interface, with signatures of
 * version 4.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { type BucketDialect, BucketObjects, type BucketOptions } from "./bucket-objects.ts";
import { factsOf } from "./http.ts";
import { type HttpObjectStore, httpObjectStore } from "./http-object-store.ts";
import { parseS3Location } from "./s3-location.ts";
import { amazonWords, signerV4, type SigningKey } from "./signature-v4.ts";

export type S3Credentials = SigningKey;

export interface S3StoreOptions extends BucketOptions {
  /** Default: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; none for public buckets. */
  readonly credentials?: S3Credentials | undefined;
  /** Default: AWS_REGION, AWS_DEFAULT_REGION or us-east-1. */
  readonly region?: string | undefined;
}

/**
 * Opens a store in a bucket: `s3://bucket/prefix`, or `s3+https://host/bucket/prefix` elsewhere than at
 * Amazon's. No request is sent yet.
 * @throws ConfigError `url-invalid`, `credentials-in-url`, `credentials-incomplete`
 */
export function openS3Store(location: string, options: S3StoreOptions = {}): HttpObjectStore {
  return httpObjectStore(openS3Objects(location, options), options.chunks);
}

/**
 * An ETag is of the content, so that it tells a chunk from an empty or altered one in its place, but not
 * from one that a writer has just renewed: flush() looks at those again.
 */
const dialect: BucketDialect = {
  headerPrefix: amazonWords.headerPrefix,
  createOnly: { "if-none-match": "*" },
  onlyVersion: (version) => ({ "if-match": version }),
  factsOf,
};

/** The objects at a location, one by one. @throws as openS3Store() */
export function openS3Objects(location: string, options: S3StoreOptions = {}): BucketObjects {
  const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env;
  const region = options.region ?? AWS_REGION ?? AWS_DEFAULT_REGION ?? "us-east-1";
  const place = parseS3Location(location, region, AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL);
  const credentials = options.credentials ?? environmentCredentials();
  return new BucketObjects(location, place, dialect, {
    ...options,
    ...(credentials === undefined ? {} : { sign: signerV4(amazonWords, credentials, region) }),
  });
}

function environmentCredentials(): S3Credentials | undefined {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  if (!AWS_ACCESS_KEY_ID && !AWS_SECRET_ACCESS_KEY) return undefined;
  if (!AWS_ACCESS_KEY_ID || !AWS_SECRET_ACCESS_KEY) {
    throw new ConfigError("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set", {
      code: "credentials-incomplete",
      hint: "set both, or neither for a public bucket",
    });
  }
  return {
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    sessionToken: AWS_SESSION_TOKEN || undefined,
  };
}

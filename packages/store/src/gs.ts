/**
 * Driver: a chunk store on Google Cloud Storage, over its XML API: S3's interface with Google's signatures,
 * conditions and generations. A generation changes with every write and every renewal, so that a chunk
 * is removed only as it was when it was found to be old.
 * @module
 */
import { type BucketPlace, parseBucketLocation } from "./bucket-location.ts";
import { type BucketDialect, BucketObjects, type BucketOptions } from "./bucket-objects.ts";
import { factsOf } from "./http.ts";
import { type HttpObjectStore, httpObjectStore } from "./http-object-store.ts";
import { type GoogleCredentials, googleCredentials, signerFor } from "./google-credentials.ts";
import { googleWords } from "./signature-v4.ts";

export interface GsStoreOptions extends BucketOptions {
  /** Default: what the environment says, see googleCredentials(); none for public buckets. */
  readonly googleCredentials?: GoogleCredentials | undefined;
}

/**
 * Opens a store in a bucket: `gs://bucket/prefix`. No request is sent yet.
 * @throws ConfigError `url-invalid`, `credentials-in-url`, `credentials-incomplete`
 */
export function openGsStore(location: string, options: GsStoreOptions = {}): HttpObjectStore {
  return httpObjectStore(openGsObjects(location, options), options.chunks);
}

const dialect: BucketDialect = {
  headerPrefix: googleWords.headerPrefix,
  createOnly: { "x-goog-if-generation-match": "0" },
  onlyVersion: (version) => ({ "x-goog-if-generation-match": version }),
  factsOf: (headers) => {
    const generation = headers["x-goog-generation"];
    return { ...factsOf(headers), version: typeof generation === "string" ? generation : undefined };
  },
};

/** The objects at a location, one by one. @throws as openGsStore() */
export function openGsObjects(location: string, options: GsStoreOptions = {}): BucketObjects {
  const credentials = options.googleCredentials ?? googleCredentials();
  return new BucketObjects(location, parseGsLocation(location), dialect, {
    ...options,
    ...(credentials === undefined ? {} : { sign: signerFor(credentials) }),
  });
}

function parseGsLocation(location: string): BucketPlace {
  return parseBucketLocation(location, {
    scheme: "gs",
    url: (bucket) => `https://storage.googleapis.com/${bucket}`,
    variables: "GOOGLE_ACCESS_KEY_ID and GOOGLE_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS",
  });
}

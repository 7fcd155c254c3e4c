/**
 * Driver: a chunk store on S3 or anything that speaks its REST interface, in the version of 2006-03-01
 * with signatures of version 4. Chunks are far below the 5 GiB up to which one PUT is enough, so no
 * multipart upload is ever needed.
 * @module
 */
import { createHash } from "node:crypto";
import { ConfigError, NetworkError } from "@imgtool/core";
import { statusError } from "./http-errors.ts";
import { factsOf } from "./http.ts";
import { HttpClient, type HttpClientOptions, type HttpStatistics, type SignableRequest } from "./http-client.ts";
import { below, type HttpTarget } from "./http-target.ts";
import { type ChunkKinds, type ObjectFacts, type ObjectManager, ObjectPruneStore } from "./object-store.ts";
import { parseListing } from "./s3-listing.ts";
import { parseS3Location } from "./s3-location.ts";
import type { PruneStore } from "./store.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface S3StoreOptions extends HttpClientOptions {
  readonly chunks?: ChunkKinds;
  /** Default: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; none for public buckets. */
  readonly credentials?: S3Credentials | undefined;
  /** Default: AWS_REGION, AWS_DEFAULT_REGION or us-east-1. */
  readonly region?: string | undefined;
  /** Objects in a page of a listing, at most 1000, the default. */
  readonly pageSize?: number;
}

/**
 * Opens a store in a bucket: `s3://bucket/prefix`, or `s3+https://host/bucket/prefix` elsewhere than at
 * Amazon's. No request is sent yet.
 * @throws ConfigError `url-invalid`
 */
export function openS3Store(location: string, options: S3StoreOptions = {}): S3Store {
  return new S3ChunkStore(new S3Objects(location, options), options.chunks);
}

export interface S3Store extends PruneStore {
  readonly statistics: Readonly<HttpStatistics>;
}

/** One object, for example an index. @throws as HttpClient.fetchBytes() */
export async function fetchS3Object(
  location: string,
  maxBytes: number,
  options: S3StoreOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<Uint8Array | undefined> {
  const objects = new S3Objects(location, options);
  try {
    return await objects.read("", maxBytes, options.signal);
  } finally {
    await objects.close();
  }
}

class S3ChunkStore extends ObjectPruneStore implements S3Store {
  readonly #objects: S3Objects;

  constructor(objects: S3Objects, chunks?: ChunkKinds) {
    super(objects, chunks);
    this.#objects = objects;
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#objects.statistics;
  }
}

const maxListing = 8 * 1024 ** 2;
const maxAnswer = 65_536;

class S3Objects implements ObjectManager {
  readonly location: string;
  readonly #bucket: HttpTarget;
  readonly #bucketName: string;
  readonly #prefix: string;
  readonly #pageSize: number;
  readonly #client: HttpClient;
  /** Whether the server takes If-None-Match with PUT; otherwise it is asked first. */
  #isConditional = true;

  constructor(location: string, options: S3StoreOptions) {
    const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env;
    const region = options.region ?? AWS_REGION ?? AWS_DEFAULT_REGION ?? "us-east-1";
    const place = parseS3Location(location, region, AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL);
    this.location = location;
    this.#bucket = place.target;
    this.#bucketName = place.bucket;
    this.#prefix = place.prefix;
    this.#pageSize = options.pageSize ?? 1000;
    const credentials = options.credentials ?? environmentCredentials();
    this.#client = new HttpClient({
      ...options,
      ...(credentials === undefined ? {} : { sign: signer(credentials, region) }),
    });
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#client.statistics;
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const answer = await this.#client.send(this.#target(path), { method: "HEAD", signal });
    return answer === undefined ? undefined : factsOf(answer.headers);
  }

  read(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#client.get(this.#target(path), maxBytes, signal);
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const condition = !replace && this.#isConditional;
    if (!replace && !condition && (await this.stat(path, signal)) !== undefined) return false;
    const target = this.#target(path);
    const answer = await this.#client.send(target, {
      method: "PUT",
      body: bytes,
      headers: { "content-type": "application/octet-stream", ...(condition ? { "if-none-match": "*" } : {}) },
      // 409: two conditional writes met, and neither counts; 501: the server knows no conditions
      accept: condition ? [409, 412, 501] : [],
      maxBytes: maxAnswer,
      signal,
    });
    if (answer === undefined) throw this.#noBucket();
    if (answer.status === 501) {
      this.#isConditional = false;
      return this.create(path, bytes, replace, signal);
    }
    return answer.status === 200;
  }

  /** Copies the object onto itself, which the server does within. */
  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    const source = `/${this.#bucketName}/${encodePath(this.#prefix + path)}`;
    const target = this.#target(path);
    const answer = await this.#client.send(target, {
      method: "PUT",
      headers: { "x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE" },
      maxBytes: maxAnswer,
      signal,
    });
    if (answer === undefined) return false;
    // a copy that fails midway is told in the body of a 200 answer
    if (Buffer.from(answer.bytes).includes("<Error>")) throw statusError(target, 500, "PUT");
    return true;
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void> {
    let token: string | undefined;
    do {
      const query = new URLSearchParams({
        "encoding-type": "url",
        "list-type": "2",
        "max-keys": String(this.#pageSize),
        prefix: this.#prefix,
        ...(token === undefined ? {} : { "continuation-token": token }),
      });
      // + for a space is not what signatures are made over
      const target = { ...this.#bucket, query: `?${query.toString().replaceAll("+", "%20")}` };
      const answer = await this.#client.send(target, { method: "GET", maxBytes: maxListing, signal });
      if (answer === undefined) throw this.#noBucket();
      const page = parseListing(answer.bytes, this.location);
      for (const { key, bytes, lastModified } of page.objects) {
        if (key.startsWith(this.#prefix)) yield { path: key.slice(this.#prefix.length), bytes, lastUsed: lastModified };
      }
      if (page.nextToken !== undefined && page.nextToken === token) throw statusError(target, 500);
      token = page.nextToken;
    } while (token !== undefined);
  }

  async delete(path: string): Promise<void> {
    await this.#client.send(this.#target(path), { method: "DELETE", accept: [204], maxBytes: maxAnswer });
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #target(path: string): HttpTarget {
    // of a location that names one object, the prefix is the key and its slash
    const key = path === "" ? this.#prefix.replace(/\/$/, "") : this.#prefix + path;
    return below(this.#bucket, encodePath(key));
  }

  #noBucket(): NetworkError {
    return new NetworkError(`there is no bucket for ${this.location}`, {
      code: "store-bucket-missing",
      hint: "make the bucket first, and check its name and region",
      data: { store: this.location },
    });
  }
}

/** Each part percent-encoded as signatures want it: all but letters, digits and `-._~`. */
function encodePath(key: string): string {
  return key.split("/").map(encodePart).join("/");
}

function encodePart(part: string): string {
  return encodeURIComponent(part).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
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

/** Signs what Amazon's own headers and the path, query and body say: what others add on the way may change. */
export function signer(
  credentials: S3Credentials,
  region: string,
  datetime?: string,
): (request: SignableRequest) => Promise<Readonly<Record<string, string>>> {
  return async ({ method, target, headers, body }) => {
    const { AwsV4Signer } = await import("aws4fetch");
    const amazons = Object.entries(headers).filter(([name]) => name.startsWith("x-amz-"));
    const digest = createHash("sha256")
      .update(body ?? "")
      .digest("hex");
    const signed = await new AwsV4Signer({
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
      ...(datetime === undefined ? {} : { datetime }),
      service: "s3",
      region,
      method,
      url: `${target.origin}${target.path}${target.query}`,
      headers: { ...Object.fromEntries(amazons), "x-amz-content-sha256": digest },
    }).sign();
    const { host: _, ...authorizing } = Object.fromEntries(signed.headers.entries());
    return { ...headers, ...authorizing };
  };
}

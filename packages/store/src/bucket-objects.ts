/**
 * Objects in a bucket, over S3's REST interface in the version of 2006-03-01, which Amazon's service, Google's
 * and many servers speak. Chunks are far below the 5 GiB up to which one PUT is enough, so no multipart
 * upload is ever needed.
 * @module
 */
import { NetworkError } from "@imgtool/core";
import type { BucketPlace } from "./bucket-location.ts";
import { type HttpAnswer, HttpClient, type HttpClientOptions, type HttpStatistics } from "./http-client.ts";
import { statusError } from "./http-errors.ts";
import { below, type HttpTarget } from "./http-target.ts";
import { requestRange, type SendRequest } from "./http-range.ts";
import type { HttpObjects } from "./http-object-store.ts";
import type { ChunkKinds, ObjectFacts, ObjectRange, RangeReader } from "./object-store.ts";
import { parseListing } from "./s3-listing.ts";
import { encodePath } from "./signature-v4.ts";

type Headers = Readonly<Record<string, string>>;

/** Where the providers' interfaces differ. */
export interface BucketDialect {
  /** What the provider's own headers begin with. */
  readonly headerPrefix: string;
  /** Of a PUT that must not replace. */
  readonly createOnly: Headers;
  /** Of a GET or DELETE of one version only. */
  readonly onlyVersion: (version: string) => Headers;
  /** What an answer's headers say of the object and its version. */
  readonly factsOf: (headers: HttpAnswer["headers"]) => ObjectFacts;
}

export interface BucketOptions extends HttpClientOptions {
  readonly chunks?: ChunkKinds;
  /** Objects in a page of a listing, at most 1000, the default. */
  readonly pageSize?: number;
}

const maxListing = 8 * 1024 ** 2;
const maxAnswer = 65_536;

export class BucketObjects implements HttpObjects, RangeReader {
  readonly location: string;
  readonly #place: BucketPlace;
  readonly #dialect: BucketDialect;
  readonly #pageSize: number;
  readonly #client: HttpClient;
  /** Whether the server takes conditions with PUT; otherwise it is asked first. */
  #createsOnly = true;
  /** Whether the server takes conditions with DELETE. */
  #deletesOnly = true;

  constructor(location: string, place: BucketPlace, dialect: BucketDialect, options: BucketOptions) {
    this.location = location;
    this.#place = place;
    this.#dialect = dialect;
    this.#pageSize = options.pageSize ?? 1000;
    this.#client = new HttpClient(options);
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#client.statistics;
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const answer = await this.#client.send(this.#target(path), { method: "HEAD", signal });
    return answer === undefined ? undefined : this.#dialect.factsOf(answer.headers);
  }

  read(path: string, maxBytes: number, signal?: AbortSignal, memory?: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#client.get(this.#target(path), maxBytes, signal, memory);
  }

  async readRange(
    path: string,
    { version, ...range }: ObjectRange,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const send: SendRequest = (target, call) => this.#client.send(target, call);
    const headers = this.#dialect.onlyVersion(version);
    const answer = await requestRange(send, this.#target(path), { ...range, headers, signal });
    if (answer === undefined || answer === "whole") return undefined;
    // A server that knows no conditions sends the part all the same.
    return this.#dialect.factsOf(answer.headers).version === version ? answer.bytes : undefined;
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const condition = !replace && this.#createsOnly;
    if (!replace && !condition && (await this.stat(path, signal)) !== undefined) return false;
    const answer = await this.#client.send(this.#target(path), {
      method: "PUT",
      body: bytes,
      headers: { "content-type": "application/octet-stream", ...(condition ? this.#dialect.createOnly : {}) },
      // 409: two conditional writes met, and neither counts; 501: the server knows no conditions
      accept: condition ? [409, 412, 501] : [],
      maxBytes: maxAnswer,
      signal,
    });
    if (answer === undefined) throw this.#noBucket();
    if (answer.status === 501) {
      this.#createsOnly = false;
      return this.create(path, bytes, replace, signal);
    }
    return answer.status === 200;
  }

  /** Copies the object onto itself, which the server does within. */
  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    const { bucket, prefix } = this.#place;
    const { headerPrefix } = this.#dialect;
    const target = this.#target(path);
    const answer = await this.#client.send(target, {
      method: "PUT",
      headers: {
        [`${headerPrefix}copy-source`]: `/${bucket}/${encodePath(prefix + path)}`,
        [`${headerPrefix}metadata-directive`]: "REPLACE",
      },
      maxBytes: maxAnswer,
      signal,
    });
    if (answer === undefined) return false;
    // a copy that fails midway is told in the body of a 200 answer
    if (Buffer.from(answer.bytes).includes("<Error>")) throw statusError(target, 500, "PUT");
    return true;
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void> {
    const { target: bucket, prefix } = this.#place;
    let token: string | undefined;
    do {
      const query = new URLSearchParams({
        "encoding-type": "url",
        "list-type": "2",
        "max-keys": String(this.#pageSize),
        prefix,
        ...(token === undefined ? {} : { "continuation-token": token }),
      });
      // + for a space is not what signatures are made over
      const target = { ...bucket, query: `?${query.toString().replaceAll("+", "%20")}` };
      const answer = await this.#client.send(target, { method: "GET", maxBytes: maxListing, signal });
      if (answer === undefined) throw this.#noBucket();
      const page = parseListing(answer.bytes, this.location);
      for (const { key, bytes, lastModified } of page.objects) {
        if (key.startsWith(prefix)) yield { path: key.slice(prefix.length), bytes, lastUsed: lastModified };
      }
      if (page.nextToken !== undefined && page.nextToken === token) throw statusError(target, 500);
      token = page.nextToken;
    } while (token !== undefined);
  }

  async delete(path: string, version: string | undefined): Promise<boolean> {
    const condition = this.#deletesOnly && version !== undefined ? this.#dialect.onlyVersion(version) : undefined;
    const answer = await this.#client.send(this.#target(path), {
      method: "DELETE",
      headers: { ...condition },
      // 400, 501: the server knows no conditions here
      accept: condition === undefined ? [204] : [204, 400, 409, 412, 501],
      maxBytes: maxAnswer,
    });
    if (answer?.status === 501 || answer?.status === 400) {
      this.#deletesOnly = false;
      return this.delete(path, undefined);
    }
    return answer?.status === 204 || answer?.status === 200;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #target(path: string): HttpTarget {
    const { target, prefix } = this.#place;
    // of a location that names one object, the prefix is the key and its slash
    const key = path === "" ? prefix.replace(/\/$/, "") : prefix + path;
    return below(target, encodePath(key));
  }

  #noBucket(): NetworkError {
    return new NetworkError(`there is no bucket for ${this.location}`, {
      code: "store-bucket-missing",
      hint: "make the bucket first, and check its name and region",
      data: { store: this.location },
    });
  }
}

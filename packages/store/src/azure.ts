/**
 * Driver: a chunk store in a container of Azure Blob Storage, over its REST interface in the version of
 * 2021-08-06. A blob's ETag changes with every write and every renewal, so that a chunk is removed only
 * as it was when it was found to be old.
 * @module
 */
import { NetworkError } from "@imgtool/core";
import { type AzureCredentials, azureEnvironment } from "./azure-credentials.ts";
import { parseBlobListing } from "./azure-listing.ts";
import { type AzurePlace, parseAzureLocation } from "./azure-location.ts";
import { sharedKeySigner } from "./azure-signature.ts";
import {
  HttpClient,
  type HttpStatistics,
  type HttpClientOptions,
  type SendOptions,
  type HttpAnswer,
} from "./http-client.ts";
import { statusError } from "./http-errors.ts";
import { requestRange, type SendRequest } from "./http-range.ts";
import { factsOf } from "./http.ts";
import { below, type HttpTarget } from "./http-target.ts";
import { type HttpObjects, type HttpObjectStore, httpObjectStore } from "./http-object-store.ts";
import type { ChunkKinds, ObjectFacts, ObjectRange, RangeReader } from "./object-store.ts";
import { encodePath } from "./signature-v4.ts";

export interface AzureStoreOptions extends HttpClientOptions {
  readonly chunks?: ChunkKinds;
  /** Default: what the environment says, see azureEnvironment(); none for public containers. */
  readonly azureCredentials?: AzureCredentials | undefined;
  /** Blobs in a page of a listing, at most 5000, the default. */
  readonly pageSize?: number;
}

/**
 * Opens a store in a container: `azure://account/container/prefix`. No request is sent yet.
 * @throws ConfigError `url-invalid`, `credentials-in-url`, `credentials-invalid`
 */
export function openAzureStore(location: string, options: AzureStoreOptions = {}): HttpObjectStore {
  return httpObjectStore(openAzureObjects(location, options), options.chunks);
}

/** The blobs at a location, one by one. @throws as openAzureStore() */
export function openAzureObjects(location: string, options: AzureStoreOptions = {}): HttpObjects & RangeReader {
  return new AzureBlobs(location, options);
}

const version = "2021-08-06";
const maxListing = 32 * 1024 ** 2;
const maxAnswer = 65_536;

class AzureBlobs implements HttpObjects, RangeReader {
  readonly location: string;
  readonly #place: AzurePlace;
  readonly #pageSize: number;
  readonly #client: HttpClient;
  /** The SAS, which is a part of every URL. */
  readonly #query: string;

  constructor(location: string, options: AzureStoreOptions) {
    const place = parseAzureLocation(location, (account) => azureEnvironment(account).endpoint);
    const { account } = place;
    const credentials = options.azureCredentials ?? azureEnvironment(account).credentials;
    this.location = location;
    this.#place = place;
    this.#pageSize = options.pageSize ?? 5000;
    this.#query = credentials?.kind === "sas" ? credentials.token.replace(/^\?/, "") : "";
    this.#client = new HttpClient({
      ...options,
      ...(credentials?.kind === "key" ? { sign: sharedKeySigner(account, credentials.key) } : {}),
    });
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#client.statistics;
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const answer = await this.#send(path, { method: "HEAD", signal });
    return answer === undefined ? undefined : factsOf(answer.headers);
  }

  async read(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return (await this.#send(path, { method: "GET", maxBytes, signal }))?.bytes;
  }

  async readRange(
    path: string,
    { version, ...range }: ObjectRange,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const send: SendRequest = (_target, call) => this.#send(path, call);
    const answer = await requestRange(send, this.#target(path), { ...range, headers: { "if-match": version }, signal });
    if (answer === undefined || answer === "whole") return undefined;
    return factsOf(answer.headers).version === version ? answer.bytes : undefined;
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#send(path, {
      method: "PUT",
      body: bytes,
      headers: {
        "content-type": "application/octet-stream",
        "x-ms-blob-type": "BlockBlob",
        ...(replace ? {} : { "if-none-match": "*" }),
      },
      // 409 BlobAlreadyExists, 412 ConditionNotMet: which of them is up to the service
      accept: replace ? [201] : [201, 409, 412],
      maxBytes: maxAnswer,
      signal,
    });
    if (answer === undefined) throw this.#noContainer();
    return answer.status === 201;
  }

  /** Metadata that says so: a small write, which changes the blob's time and ETag. */
  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#send(
      path,
      { method: "PUT", headers: { "x-ms-meta-imgtool": "kept" }, maxBytes: maxAnswer, signal },
      "comp=metadata",
    );
    return answer !== undefined;
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void> {
    const { target, prefix } = this.#place;
    let marker: string | undefined;
    do {
      const query = new URLSearchParams({
        restype: "container",
        comp: "list",
        maxresults: String(this.#pageSize),
        prefix,
        ...(marker === undefined ? {} : { marker }),
      });
      const page = { ...target, query: this.#queryWith(query.toString()) };
      const headers = { "x-ms-version": version };
      const answer = await this.#client.send(page, { method: "GET", headers, maxBytes: maxListing, signal });
      if (answer === undefined) throw this.#noContainer();
      const listing = parseBlobListing(answer.bytes, this.location);
      for (const { name, bytes, lastModified } of listing.blobs) {
        if (name.startsWith(prefix)) yield { path: name.slice(prefix.length), bytes, lastUsed: lastModified };
      }
      if (listing.marker !== undefined && listing.marker === marker) throw statusError(target, 500);
      marker = listing.marker;
    } while (marker !== undefined);
  }

  async delete(path: string, etag: string | undefined): Promise<boolean> {
    const answer = await this.#send(path, {
      method: "DELETE",
      headers: etag === undefined ? {} : { "if-match": etag },
      accept: [202, 412],
      maxBytes: maxAnswer,
    });
    return answer?.status === 202;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #send(path: string, options: SendOptions, query = ""): Promise<HttpAnswer | undefined> {
    return this.#client.send(
      { ...this.#target(path), query: this.#queryWith(query) },
      { ...options, headers: { ...options.headers, "x-ms-version": version } },
    );
  }

  #target(path: string): HttpTarget {
    const { target, prefix } = this.#place;
    // of a location that names one blob, the prefix is its name and a slash
    const name = path === "" ? prefix.replace(/\/$/, "") : prefix + path;
    return below(target, encodePath(name));
  }

  #queryWith(query: string): string {
    const parts = [query, this.#query].filter((part) => part !== "");
    // + for a space is not what every server takes
    return parts.length === 0 ? "" : `?${parts.join("&").replaceAll("+", "%20")}`;
  }

  #noContainer(): NetworkError {
    return new NetworkError(`there is no container for ${this.location}`, {
      code: "store-bucket-missing",
      hint: "make the container first, and check the account and its credentials",
      data: { store: this.location },
    });
  }
}

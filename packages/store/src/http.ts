/**
 * Driver: a chunk store on a web server. Any server of static files will do for reading; writing takes
 * one that has PUT: `imgtool serve --writable`, desync's chunk server, nginx with dav_methods.
 * @module
 */
import { HttpClient, type HttpClientOptions, type HttpStatistics } from "./http-client.ts";
import { statusError } from "./http-errors.ts";
import { below, parseHttpUrl, type HttpTarget } from "./http-target.ts";
import { type ChunkKinds, type ObjectFacts, ObjectWriteStore, type ObjectWriter } from "./object-store.ts";
import type { ReadStore, WriteStore } from "./store.ts";

export interface HttpStoreOptions extends HttpClientOptions {
  /**
   * Which files the server has: compressed chunks (.cacnk), plain ones, or either, where a chunk that
   * is missing costs two requests. Default "either".
   */
  readonly chunks?: ChunkKinds;
}

export interface HttpStore extends ReadStore {
  readonly statistics: Readonly<HttpStatistics>;
}

/**
 * Opens a chunk store by its URL; no request is sent yet. User name and password in the URL are used
 * for Basic authentication, a query is appended to every request.
 * @throws ConfigError `url-invalid`
 */
export function openHttpStore(url: string | URL, options: HttpStoreOptions = {}): HttpStore & WriteStore {
  return new HttpChunkStore(new HttpObjects(parseHttpUrl(url), options), options.chunks);
}

/** With a HEAD request for a chunk: a writer has found it and is about to name it in an index. */
export const keepHeader = "imgtool-keep";

class HttpChunkStore extends ObjectWriteStore<HttpObjects> implements HttpStore {
  get statistics(): Readonly<HttpStatistics> {
    return this.client.statistics;
  }
}

class HttpObjects implements ObjectWriter {
  readonly location: string;
  readonly #base: HttpTarget;
  readonly #client: HttpClient;

  constructor(base: HttpTarget, options: HttpStoreOptions) {
    this.#base = base;
    this.location = base.shown;
    this.#client = new HttpClient(options);
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#client.statistics;
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const answer = await this.#client.send(below(this.#base, path), { method: "HEAD", signal });
    return answer === undefined ? undefined : factsOf(answer.headers);
  }

  read(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#client.get(below(this.#base, path), maxBytes, signal);
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#client.send(below(this.#base, path), {
      method: "PUT",
      body: bytes,
      headers: { "content-type": "application/octet-stream", ...(replace ? {} : { "if-none-match": "*" }) },
      // 201: it is new; 204: there was one, which a server that knows no conditions has replaced by the same
      accept: [201, 204, 412],
      maxBytes: 65_536,
      signal,
    });
    if (answer === undefined) throw statusError(below(this.#base, path), 404, "PUT");
    return answer.status === 201 || answer.status === 200;
  }

  /** A header that `imgtool serve --writable` knows; on other servers the chunk stays as old as it is. */
  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    const headers = { [keepHeader]: "1" };
    return (await this.#client.send(below(this.#base, path), { method: "HEAD", headers, signal })) !== undefined;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

/** What an answer's headers say of the object. */
export function factsOf(headers: Readonly<Record<string, string | string[] | undefined>>): ObjectFacts {
  const length = headers["content-length"];
  const modified = Date.parse(String(headers["last-modified"]));
  const etag = headers["etag"];
  return {
    bytes: typeof length === "string" && /^\d+$/.test(length) ? Number(length) : undefined,
    lastUsed: Number.isNaN(modified) ? undefined : modified,
    // a weak one is of no use to conditions (RFC 9110, 13.1.1)
    version: typeof etag === "string" && !etag.startsWith("W/") ? etag : undefined,
  };
}

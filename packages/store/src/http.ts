/**
 * Driver: a chunk store on a web server. Any server of static files will do for reading; writing takes
 * one that has PUT: `imgtool serve --writable`, desync's chunk server, nginx with dav_methods, WebDAV. What lists and
 * removes is in webdav.ts.
 * @module
 */
import { maxSealedBytes } from "./encrypted/cipher.ts";
import { type HttpAnswer, HttpClient, type HttpClientOptions, type HttpStatistics } from "./http-client.ts";
import { statusError } from "./http-errors.ts";
import { below, parseHttpUrl, type HttpTarget } from "./http-target.ts";
import { type ChunkKinds, type ObjectFacts, ObjectWriteStore, type ObjectWriter } from "./object-store.ts";
import { maxStoredBytes } from "./limits.ts";
import type { ReadStore, WriteStore } from "./store.ts";
import { markBody } from "./webdav-listing.ts";

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

/** What a server says that can be done with a store. */
export interface HttpAbilities {
  /** Methods. */
  readonly allows: ReadonlySet<string>;
  /** Whether it is imgtool's and knows keepHeader. */
  readonly keeps: boolean;
}

export class HttpObjects implements ObjectWriter {
  readonly location: string;
  protected readonly base: HttpTarget;
  protected readonly client: HttpClient;
  #abilities: Promise<HttpAbilities> | undefined;

  constructor(base: HttpTarget, options: HttpStoreOptions) {
    this.base = base;
    this.location = base.shown;
    this.client = new HttpClient(options);
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.client.statistics;
  }

  /** Asks the server once. @throws NetworkError */
  abilities(): Promise<HttpAbilities> {
    this.#abilities ??= this.#askAbilities();
    this.#abilities.catch(() => (this.#abilities = undefined));
    return this.#abilities;
  }

  async #askAbilities(): Promise<HttpAbilities> {
    const answer = await this.client.send(below(this.base, ""), {
      method: "OPTIONS",
      // Many that answer GET have no answer to this.
      accept: [204, 400, 403, 405, 501],
      maxBytes: 65_536,
    });
    const allow = answer?.headers["allow"] ?? [];
    const methods = [allow].flat().flatMap((line) => line.split(","));
    return {
      allows: new Set(methods.map((method) => method.trim().toUpperCase()).filter((method) => method !== "")),
      keeps: answer?.headers[keepHeader] !== undefined,
    };
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const answer = await this.client.send(below(this.base, path), { method: "HEAD", signal });
    return answer === undefined ? undefined : factsOf(answer.headers);
  }

  read(path: string, maxBytes: number, signal?: AbortSignal, memory?: Uint8Array): Promise<Uint8Array | undefined> {
    return this.client.get(below(this.base, path), maxBytes, signal, memory);
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const target = below(this.base, path);
    const put = (): Promise<HttpAnswer | undefined> =>
      this.client.send(target, {
        method: "PUT",
        body: bytes,
        headers: { "content-type": "application/octet-stream", ...(replace ? {} : { "if-none-match": "*" }) },
        // 201: it is new; 204: there was one, which a server that knows no conditions has replaced by the same;
        // 409: WebDAV makes no folders of its own accord
        accept: [201, 204, 409, 412],
        maxBytes: 65_536,
        signal,
      });
    let answer = await put();
    if (answer?.status === 409) {
      await this.#makeFolder("", signal);
      await this.#makeFolder(`${path.slice(0, path.indexOf("/"))}/`, signal);
      answer = await put();
    }
    if (answer === undefined || answer.status === 409) throw statusError(target, answer?.status ?? 404, "PUT");
    return answer.status === 201 || answer.status === 200;
  }

  async #makeFolder(path: string, signal: AbortSignal | undefined): Promise<void> {
    const target = below(this.base, path);
    // 301, 405: it is there
    const accept = [201, 301, 405];
    if ((await this.client.send(target, { method: "MKCOL", accept, maxBytes: 65_536, signal })) === undefined)
      throw statusError(target, 404, "MKCOL");
  }

  /**
   * A header that `imgtool serve --writable` knows. Where the server lets others list and remove, a mark that
   * WebDAV keeps; where it keeps none, the chunk is written again. On other servers the chunk stays as old as it is.
   */
  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    const target = below(this.base, path);
    const { allows, keeps } = await this.abilities();
    if (keeps || !allows.has("DELETE") || !allows.has("PROPFIND")) {
      const headers = { [keepHeader]: "1" };
      return (await this.client.send(target, { method: "HEAD", headers, signal })) !== undefined;
    }
    if (allows.has("PROPPATCH")) {
      const answer = await this.client.send(target, {
        method: "PROPPATCH",
        body: markBody(Date.now()),
        headers: { "content-type": 'application/xml; charset="utf-8"' },
        accept: [207, 403, 405, 409, 501],
        maxBytes: 65_536,
        signal,
      });
      if (answer === undefined) return false;
      if (answer.status === 207 && /HTTP\/1\.\d 200/.test(Buffer.from(answer.bytes).toString("latin1"))) return true;
    }
    const bytes = await this.read(path, maxSealedBytes(maxStoredBytes()), signal);
    if (bytes === undefined) return false;
    await this.create(path, bytes, true, signal);
    return true;
  }

  close(): Promise<void> {
    return this.client.close();
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

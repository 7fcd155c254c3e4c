/**
 * Driver: a chunk store on a web server, read-only. Any server of static files will do.
 * @module
 */
import { chunkPath, checkChunkName } from "./chunk-path.ts";
import { HttpClient, type HttpClientOptions, type HttpStatistics } from "./http-client.ts";
import { below, parseHttpUrl, type HttpTarget } from "./http-target.ts";
import { maxStoredBytes } from "./limits.ts";
import type { ChunkName, ReadStore, StoredChunk } from "./store.ts";

export interface HttpStoreOptions extends HttpClientOptions {
  /**
   * Which files the server has: compressed chunks (.cacnk), plain ones, or either, where a chunk that
   * is missing costs two requests. Default "either".
   */
  readonly chunks?: "compressed" | "plain" | "either";
}

export interface HttpStore extends ReadStore {
  readonly statistics: Readonly<HttpStatistics>;
}

/**
 * Opens a chunk store by its URL; no request is sent yet. User name and password in the URL are used
 * for Basic authentication, a query is appended to every request.
 * @throws ConfigError `url-invalid`
 */
export function openHttpStore(url: string | URL, options: HttpStoreOptions = {}): HttpStore {
  return new HttpChunkStore(parseHttpUrl(url), options);
}

class HttpChunkStore implements HttpStore {
  readonly location: string;
  readonly #base: HttpTarget;
  readonly #client: HttpClient;
  /** The kinds of file to ask for: what was found last comes first. */
  #kinds: readonly boolean[];

  constructor(base: HttpTarget, options: HttpStoreOptions) {
    this.#base = base;
    this.location = base.shown;
    this.#client = new HttpClient(options);
    const { chunks = "either" } = options;
    this.#kinds = chunks === "either" ? [true, false] : [chunks === "compressed"];
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#client.statistics;
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    checkChunkName(name);
    for (const compressed of this.#kinds)
      if (await this.#client.exists(below(this.#base, chunkPath(name, compressed)), signal)) return true;
    return false;
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    checkChunkName(name);
    const kinds = this.#kinds;
    for (const compressed of kinds) {
      const target = below(this.#base, chunkPath(name, compressed));
      const bytes = await this.#client.get(target, maxBytes ?? maxStoredBytes(), signal);
      if (bytes === undefined) continue;
      if (compressed !== kinds[0]) this.#kinds = [compressed, !compressed];
      return { bytes, compressed };
    }
    return undefined;
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/**
 * Files elsewhere of which parts are read: each part is of the version that was opened, or there is an error.
 * @module
 */
import { NetworkError, NotFoundError } from "@imgtool/core";
import { HttpClient, type HttpClientOptions } from "./http-client.ts";
import { notFound } from "./http-errors.ts";
import { requestRange, strongValidator } from "./http-range.ts";
import { isHttpUrl, parseHttpUrl, type HttpTarget } from "./http-target.ts";
import { objectScheme, type ObjectStoreOptions } from "./object-schemes.ts";
import type { ObjectFacts, ObjectRange, RangeReader } from "./object-store.ts";
import { withStoreAccess } from "./store-access.ts";

export interface RangedFile extends AsyncDisposable {
  /** For messages: without credentials. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Exactly those bytes of it.
   * @throws NetworkError `file-changed` when another file is in its place; what the driver throws
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/**
 * Opens the file at an http(s) URL, or at a location of object-schemes.ts.
 * @returns undefined when parts of it cannot be read, or not be told from those of another file: it is fetched whole
 * @throws NotFoundError `http-not-found`, `source-missing`; what the driver throws
 */
export async function openRangedFile(
  location: string,
  options: ObjectStoreOptions & HttpClientOptions,
  signal?: AbortSignal,
): Promise<RangedFile | undefined> {
  await using resources = new AsyncDisposableStack();
  const reader = await rangeReader(location, await withStoreAccess(location, options));
  if (reader === undefined) return undefined;
  resources.defer(() => reader.close());
  const facts = await reader.stat("", signal);
  if (facts === undefined) throw missing(location, reader.location);
  const { bytes: size, version } = facts;
  if (size === undefined || version === undefined) return undefined;
  const owned = resources.move();
  return {
    name: reader.location,
    size,
    async read(offset, length) {
      if (length === 0) return new Uint8Array(0);
      if (offset < 0 || offset + length > size)
        throw new RangeError(`${length} bytes from ${offset} on are not in a file of ${size}`);
      const bytes = await reader.readRange("", { offset, length, version }, signal);
      if (bytes === undefined) throw changed(reader.location);
      return bytes;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function rangeReader(
  location: string,
  options: ObjectStoreOptions & HttpClientOptions,
): Promise<RangeReader | undefined> {
  if (isHttpUrl(location)) return new HttpFile(parseHttpUrl(location), options);
  const objects = await objectScheme(location)?.objects(location, options);
  if (objects?.stat !== undefined && objects.readRange !== undefined) return objects as typeof objects & RangeReader;
  await objects?.close();
  return undefined;
}

/** The file at a URL. */
class HttpFile implements RangeReader {
  readonly location: string;
  readonly #target: HttpTarget;
  readonly #client: HttpClient;

  constructor(target: HttpTarget, options: HttpClientOptions) {
    this.location = target.shown;
    this.#target = target;
    this.#client = new HttpClient(options);
  }

  /** Asks for the first byte, because many servers say only then whether they have parts. */
  async stat(_path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const answer = await this.#request({ offset: 0, length: 1 }, {}, signal);
    if (answer === undefined) return undefined;
    if (answer === "whole") return { bytes: undefined, lastUsed: undefined };
    return { bytes: answer.total, lastUsed: undefined, version: strongValidator(answer.headers) };
  }

  async readRange(_path: string, range: ObjectRange, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const answer = await this.#request(range, { "if-range": range.version }, signal);
    if (answer === undefined || answer === "whole") return undefined;
    // Some servers send the part all the same.
    const { etag, "last-modified": modified } = answer.headers;
    return etag === range.version || modified === range.version ? answer.bytes : undefined;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #request(
    { offset, length }: Pick<ObjectRange, "offset" | "length">,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): ReturnType<typeof requestRange> {
    return requestRange((target, call) => this.#client.send(target, call), this.#target, {
      offset,
      length,
      headers,
      signal,
    });
  }
}

function missing(location: string, shown: string): NotFoundError {
  if (isHttpUrl(location)) return notFound(parseHttpUrl(location));
  return new NotFoundError(`there is no file at ${shown}`, { code: "source-missing", data: { file: shown } });
}

function changed(name: string): NetworkError {
  return new NetworkError(`${name} was changed while it was read`, {
    code: "file-changed",
    hint: "run again, to read what is there now",
    data: { url: name },
  });
}

/**
 * The HTTP client of stores and index files: many requests at once over kept connections,
 * repeated when the network or the server fails for a moment. Proxies come from the environment.
 * @module
 */
import { writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { concatBytes, ImgtoolError, throwIfAborted, type NetworkError } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";
import type { Agent, Dispatcher } from "undici";
import { AdaptiveLimit } from "./adaptive-limit.ts";
import { fileSpaceHint } from "./copied-file.ts";
import { connectionError, encodingError, notFound, statusError } from "./http-errors.ts";
import { exchange, type BodySink, type ExchangeResult, type HttpMethod } from "./http-exchange.ts";
import { isTransientError, isTransientStatus, retryDelay, wait, type RetryOptions } from "./http-retry.ts";
import { paced, type RateLimit } from "./rate-limit.ts";
import { storeError } from "./local-errors.ts";
import { parseHttpUrl, redirected, type HttpTarget } from "./http-target.ts";

export interface HttpClientOptions extends RetryOptions {
  /**
   * Most requests under way at once; with HTTP/1.1 also the most connections. Default 32. A server that
   * answers 503 or 429 gets half as many, and more again as it answers.
   */
  readonly concurrency?: number;
  /** Milliseconds to wait for a connection. Default 10000. */
  readonly connectTimeout?: number;
  /** Milliseconds to wait for the answer's first byte. Default 30000. */
  readonly headersTimeout?: number;
  /** Milliseconds to wait for the body's next byte. Default 30000. */
  readonly bodyTimeout?: number;
  /** Whether HTTP/2 is used where a server offers it (https only). Default true. */
  readonly http2?: boolean;
  /** Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment count. Default true. */
  readonly proxy?: boolean;
  /** Most redirections that are followed. Default 5. */
  readonly redirects?: number;
  /** Certificates in PEM form that are trusted, instead of those of Node.js. */
  readonly certificateAuthority?: string;
  /** The client's own certificate and its key, in PEM form, for servers that ask for one. */
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  /** A limit of what is received and sent, which several clients may share. */
  readonly rateLimit?: RateLimit | undefined;
  /**
   * Headers of every request, for example Authorization. They stay with the origin of the request: a server
   * that it is redirected to does not get them.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes the headers that authorize a request, each time it is sent: they may hold the time. */
  readonly sign?: (request: SignableRequest) => Promise<Readonly<Record<string, string>>>;
}

export interface SignableRequest {
  readonly method: HttpMethod;
  readonly target: HttpTarget;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

/** A request other than a plain read. */
export interface SendOptions {
  readonly method: HttpMethod;
  readonly body?: Uint8Array | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Statuses that are answers beside 200 and 404; others are errors. */
  readonly accept?: readonly number[];
  /** Largest body that is taken, in bytes. Default 0. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: ExchangeResult["headers"];
  /** The body of a 200, 206 or 207 answer. */
  readonly bytes: Uint8Array;
}

/** Counts of a client since it was made. */
export interface HttpStatistics {
  /** Requests sent, repetitions included. */
  requests: number;
  /** Bytes of bodies received. */
  bytes: number;
  /** Requests sent again after a failure. */
  retries: number;
}

export interface FetchOptions {
  /** Largest body that is taken, in bytes. */
  readonly maxSize: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * After a request has failed for good, others to the same client are not repeated for so long: with
 * a server that is down, thousands of chunks would otherwise each wait for all their repetitions.
 */
const downMilliseconds = 15_000;

export class HttpClient {
  readonly statistics: HttpStatistics = { requests: 0, bytes: 0, retries: 0 };
  readonly #options: HttpClientOptions;
  #dispatcher: Promise<Dispatcher> | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #limit: AdaptiveLimit;
  #downUntil = 0;

  constructor(options: HttpClientOptions = {}) {
    this.#options = options;
    this.#limit = new AdaptiveLimit(options.concurrency ?? 32);
    // compressed transfer would only cost time: chunks are compressed already
    this.#headers = { "user-agent": "imgtool", "accept-encoding": "identity" };
  }

  /** Whether the server has it: a HEAD request. */
  async exists(target: HttpTarget, signal?: AbortSignal): Promise<boolean> {
    return (await this.#request(target, { method: "HEAD", signal }, () => noSink)) !== undefined;
  }

  /**
   * Sends any request.
   * @returns undefined where the server answers that there is nothing (404, 410)
   * @throws as fetchBytes
   */
  async send(target: HttpTarget, options: SendOptions): Promise<HttpAnswer | undefined> {
    let sink = new MemorySink();
    const isRead = options.method !== "HEAD";
    const result = await this.#request(target, options, () => (isRead ? (sink = new MemorySink()) : noSink));
    return result === undefined ? undefined : { status: result.status, headers: result.headers, bytes: sink.bytes() };
  }

  /**
   * The body, or undefined where the server answers that there is none (404, 410).
   * @param memory that it may be put into, where the server says that it fits: new memory for each of many
   *   bodies keeps the garbage collector busy
   */
  async get(
    target: HttpTarget,
    maxBytes: number,
    signal?: AbortSignal,
    memory?: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    let sink = new MemorySink();
    const makeSink = (): BodySink => (sink = new MemorySink(memory));
    const result = await this.#request(target, { method: "GET", maxBytes, signal }, makeSink);
    return result === undefined ? undefined : sink.bytes();
  }

  /**
   * The content of a URL.
   * @throws NotFoundError `http-not-found`; FormatError `http-too-large`; NetworkError; AbortedError
   */
  async fetchBytes(url: string | URL, options: FetchOptions): Promise<Uint8Array> {
    const target = parseHttpUrl(url);
    const bytes = await this.get(target, options.maxSize, options.signal);
    if (bytes === undefined) throw notFound(target);
    return bytes;
  }

  /**
   * Copies the content of a URL to a file, which appears when it is whole.
   * @returns its length in bytes
   * @throws as fetchBytes
   */
  async fetchFile(url: string | URL, path: string, options: FetchOptions): Promise<number> {
    const target = parseHttpUrl(url);
    return makeAtomically(path, async (temporary) => {
      const handle = await open(temporary, "wx", 0o644);
      try {
        let position = 0;
        // Written synchronously: a piece takes microseconds, and pausing the connection for each one
        // made undici parse the rest of its buffer again and again.
        const makeSink = (): BodySink => {
          position = 0; // a repeated request overwrites
          return {
            start() {},
            write(piece) {
              try {
                for (let done = 0; done < piece.length;)
                  done += writeSync(handle.fd, piece, done, piece.length - done, position + done);
              } catch (error) {
                throw storeError(error, "write", path, fileSpaceHint);
              }
              position += piece.length;
            },
          };
        };
        const result = await this.#request(
          target,
          { method: "GET", maxBytes: options.maxSize, signal: options.signal },
          makeSink,
        );
        if (result === undefined) throw notFound(target);
        await handle.truncate(position);
        return position;
      } finally {
        await handle.close();
      }
    });
  }

  /** Ends all connections; requests under way fail. */
  async close(): Promise<void> {
    await (await this.#dispatcher)?.destroy();
  }

  async #request(first: HttpTarget, call: SendOptions, makeSink: () => BodySink): Promise<ExchangeResult | undefined> {
    await this.#limit.enter(call.signal);
    try {
      let target = first;
      for (let redirects = 0; ; redirects++) {
        const result = await this.#repeat(target, call, target.origin === first.origin, makeSink);
        const { status, headers } = result;
        if (status === 404 || status === 410) return undefined;
        if (call.accept?.includes(status) === true) return result;
        if (status === 200) {
          const encoding = headers["content-encoding"] ?? "identity";
          if (encoding !== "identity") throw encodingError(target, String(encoding));
          return result;
        }
        const location = headers["location"];
        const next =
          status >= 301 && status <= 308 && typeof location === "string" ? redirected(target, location) : undefined;
        if (next === undefined || redirects >= (this.#options.redirects ?? 5))
          throw statusError(target, status, call.method, result.errorCode);
        target = next;
      }
    } finally {
      this.#limit.leave();
    }
  }

  async #repeat(
    target: HttpTarget,
    call: SendOptions,
    isSameOrigin: boolean,
    makeSink: () => BodySink,
  ): Promise<ExchangeResult> {
    const { method, body, maxBytes = 0, signal } = call;
    const { authorization } = target;
    const plain = {
      ...this.#headers,
      ...(isSameOrigin ? this.#options.headers : {}),
      ...call.headers,
      ...(authorization === undefined ? {} : { authorization }),
    };
    const { retries = 5, rateLimit } = this.#options;
    const sign = isSameOrigin ? this.#options.sign : undefined;
    const dispatcher = await (this.#dispatcher ??= makeDispatcher(this.#options));
    for (let attempt = 1; ; attempt++) {
      throwIfAborted(signal);
      let failure: NetworkError;
      let retryAfter: string | undefined;
      const sentAt = performance.now();
      try {
        const headers = sign === undefined ? plain : await sign({ method, target, headers: plain, body });
        this.statistics.requests++;
        if (body !== undefined) await paced(rateLimit, body.length, signal);
        throwIfAborted(signal);
        const request = { method, headers, body, maxBytes, signal, rateLimit };
        const result = await exchange(dispatcher, target, request, makeSink());
        this.statistics.bytes += result.received;
        if (!isTransientStatus(result.status)) {
          this.#downUntil = 0;
          this.#limit.succeeded();
          return result;
        }
        if (result.status === 503 || result.status === 429) this.#limit.slowDown(sentAt);
        failure = statusError(target, result.status, method, result.errorCode);
        const header = result.headers["retry-after"];
        if (typeof header === "string") retryAfter = header;
      } catch (error) {
        if (error instanceof ImgtoolError) throw error;
        failure = connectionError(target, error, method);
        if (!isTransientError(error)) throw failure;
      }
      if (attempt > retries || performance.now() < this.#downUntil) {
        this.#downUntil = performance.now() + downMilliseconds;
        throw failure;
      }
      await wait(retryDelay(attempt, this.#options, retryAfter), signal);
      this.statistics.retries++;
    }
  }
}

const noSink: BodySink = { start() {}, write() {} };

class MemorySink implements BodySink {
  readonly #memory: Uint8Array | undefined;
  #whole: Uint8Array | undefined;
  #length = 0;
  readonly #pieces: Uint8Array[] = [];

  constructor(memory?: Uint8Array) {
    this.#memory = memory;
  }

  start(length: number | undefined): void {
    if (length === undefined) return;
    const fits = this.#memory !== undefined && length <= this.#memory.length;
    // within the caller's limit: exchange() has checked it
    this.#whole = fits ? this.#memory.subarray(0, length) : Buffer.allocUnsafeSlow(length);
  }

  write(piece: Uint8Array): void {
    // a body that is longer than announced is reported by exchange(); undici cuts it off
    if (this.#whole === undefined) this.#pieces.push(piece);
    else if (this.#length + piece.length <= this.#whole.length) this.#whole.set(piece, this.#length);
    this.#length += piece.length;
  }

  bytes(): Uint8Array {
    return this.#whole ?? concatBytes(this.#pieces);
  }
}

// undici takes a tenth of a second to load: commands that need no network do not wait for it
async function makeDispatcher(options: HttpClientOptions): Promise<Dispatcher> {
  const { Agent, EnvHttpProxyAgent } = await import("undici");
  const connectTimeout = options.connectTimeout ?? 10_000;
  const { certificateAuthority: ca, clientCertificate: cert, clientKey: key } = options;
  const connect = {
    timeout: connectTimeout,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const common: Agent.Options = {
    connections: Math.max(options.concurrency ?? 32, 1),
    connect,
    headersTimeout: options.headersTimeout ?? 30_000,
    bodyTimeout: options.bodyTimeout ?? 30_000,
    allowH2: options.http2 ?? true,
  };
  const { env } = process;
  const proxied = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"].some((name) => (env[name] ?? "") !== "");
  if ((options.proxy ?? true) && proxied)
    return new EnvHttpProxyAgent({ ...common, requestTls: connect, connectTimeout });
  return new Agent(common);
}

/** fetchBytes() of a client that is used once. */
export async function fetchBytes(url: string | URL, options: FetchOptions & HttpClientOptions): Promise<Uint8Array> {
  const client = new HttpClient(options);
  try {
    return await client.fetchBytes(url, options);
  } finally {
    await client.close();
  }
}

/** fetchFile() of a client that is used once. */
export async function fetchFile(
  url: string | URL,
  path: string,
  options: FetchOptions & HttpClientOptions,
): Promise<number> {
  const client = new HttpClient(options);
  try {
    return await client.fetchFile(url, path, options);
  } finally {
    await client.close();
  }
}

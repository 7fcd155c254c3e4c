/**
 * A few connections to an FTP server, each of which does one thing at a time: made when they are needed,
 * kept while they last, and made anew when the network or the server fails for a moment.
 * @module
 */
import { isIP } from "node:net";
import { abortedError, ImgtoolError, throwIfAborted } from "@imgtool/core";
import type { Client } from "basic-ftp";
import { AdaptiveLimit } from "../adaptive-limit.ts";
import { isTransientError, retryDelay, type RetryOptions, wait } from "../http-retry.ts";
import type { FtpCredentials } from "./credentials.ts";
import type { FtpPlace } from "./location.ts";

export interface FtpConnectionOptions extends RetryOptions {
  /** Most connections at once; servers allow few. Default 4. */
  readonly ftpConnections?: number | undefined;
  /** Milliseconds of silence, on either connection, after which one counts as broken. Default 30000. */
  readonly ftpTimeout?: number | undefined;
  /** Certificates in PEM form that are trusted, instead of those of Node.js. */
  readonly certificateAuthority?: string;
  /** The client's own certificate and its key, in PEM form, for servers that ask for one. */
  readonly clientCertificate?: string;
  readonly clientKey?: string;
}

/** The server's answer, where that is what failed. */
export function replyCode(error: unknown): number | undefined {
  return error instanceof Error && error.name === "FTPError" && "code" in error && typeof error.code === "number"
    ? error.code
    : undefined;
}

/** Codes of "not now": all of the group but those that say what is wrong with the file or the disk. */
function isTransient(error: unknown): boolean {
  if (error instanceof ImgtoolError) return false;
  const code = replyCode(error);
  if (code === undefined) return isTransientError(error);
  return code >= 400 && code < 500 && code !== 430 && code !== 452 && !/no such file/i.test(String(error));
}

export class FtpConnections {
  readonly #place: FtpPlace;
  readonly #credentials: FtpCredentials;
  readonly #options: FtpConnectionOptions;
  readonly #limit: AdaptiveLimit;
  readonly #idle: Client[] = [];
  readonly #open = new Set<Client>();
  #isClosed = false;

  constructor(place: FtpPlace, credentials: FtpCredentials, options: FtpConnectionOptions) {
    this.#place = place;
    this.#credentials = credentials;
    this.#options = options;
    this.#limit = new AdaptiveLimit(options.ftpConnections ?? 4);
  }

  /**
   * Runs commands on a connection that nobody else has meanwhile; again, on another one, after failures
   * that pass. What is run must bear to be repeated.
   * @throws what failed for good; AbortedError
   */
  async run<T>(work: (client: Client) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    await this.#limit.enter(signal);
    try {
      for (let attempt = 1; ; attempt++) {
        const startedAt = performance.now();
        try {
          const result = await this.#once(work, signal);
          this.#limit.succeeded();
          return result;
        } catch (error) {
          throwIfAborted(signal);
          if (this.#isClosed || !isTransient(error) || attempt > (this.#options.retries ?? 5)) throw error;
          // 421: too many connections, or the end of this one
          if (replyCode(error) === 421) this.#limit.slowDown(startedAt);
        }
        await wait(retryDelay(attempt, this.#options), signal);
      }
    } finally {
      this.#limit.leave();
    }
  }

  /** Ends all connections; what is under way fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const client of this.#open) client.close();
    this.#open.clear();
    this.#idle.length = 0;
  }

  async #once<T>(work: (client: Client) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const client = await this.#take(signal);
    const stop = (): void => client.close();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      throwIfAborted(signal);
      const result = await work(client);
      if (signal?.aborted === true) throw abortedError(signal);
      return result;
    } catch (error) {
      // A connection that failed in another way than by an answer may have half a transfer on it.
      if (replyCode(error) === undefined || replyCode(error) === 421) client.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
      if (client.closed) this.#open.delete(client);
      else this.#idle.push(client);
    }
  }

  async #take(signal: AbortSignal | undefined): Promise<Client> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.closed) return idle;
      this.#open.delete(idle);
    }
    const { Client } = await import("basic-ftp");
    const { ftpTimeout = 30_000 } = this.#options;
    const client = new Client(ftpTimeout);
    const stop = (): void => client.close();
    // The library does not watch the time that TLS takes to begin.
    const timer = setTimeout(stop, 2 * ftpTimeout);
    signal?.addEventListener("abort", stop, { once: true });
    this.#open.add(client);
    try {
      throwIfAborted(signal);
      await this.#connect(client);
      return client;
    } catch (error) {
      client.close();
      this.#open.delete(client);
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  async #connect(client: Client): Promise<void> {
    const { host, port, isSecure } = this.#place;
    const { certificateAuthority: ca, clientCertificate: cert, clientKey: key } = this.#options;
    await client.access({
      host,
      port,
      ...this.#credentials,
      secure: isSecure,
      secureOptions: {
        host,
        rejectUnauthorized: true,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      },
    });
    // The others of the library's list would ask a second time for a directory that is not there.
    if (client.availableListCommands.includes("MLSD")) client.availableListCommands = ["MLSD"];
    // An answer to PROT may say no: then chunks would travel in the clear.
    if (isSecure) await client.send("PROT P");
  }
}

/**
 * Reading from another machine in casync's remote protocol: an index or archive, then chunks.
 * @module
 */
import { FormatError, throwIfAborted } from "@imgtool/core";
import type { ChunkName, StoredChunk } from "../store.ts";
import { type Connect, Connection, type RemoteFiles, withConnection } from "./connection.ts";
import { remoteFeatures } from "./features.ts";

/**
 * The bytes of an index on another machine.
 * @param maxSize most bytes that are taken
 * @throws NotFoundError `remote-not-found`; FormatError `remote-too-large`; NetworkError
 */
export async function pullIndex(
  connect: Connect,
  path: string,
  options: { readonly maxSize: number; readonly signal?: AbortSignal | undefined },
): Promise<Uint8Array> {
  const { maxSize, signal } = options;
  throwIfAborted(signal);
  const channel = await connect({ index: path }, "pull");
  return withConnection(channel, signal, async (connection) => {
    await connection.greet(remoteFeatures.pullIndex);
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const bytes of pulledFile(connection, "index")) {
      size += bytes.length;
      if (size > maxSize) {
        throw new FormatError(`the index ${path} on ${connection.name} has more than ${maxSize} bytes`, {
          code: "remote-too-large",
          data: { peer: connection.name, path, expected: maxSize },
        });
      }
      parts.push(bytes);
    }
    await connection.send({ type: "goodbye" }).catch(() => {});
    return Buffer.concat(parts, size);
  });
}

/**
 * The bytes of an archive on another machine, as they come.
 * @throws NotFoundError `remote-not-found`; NetworkError; AbortedError
 */
export async function* pullArchive(connect: Connect, path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  throwIfAborted(signal);
  const connection = new Connection(await connect({ archive: path }, "pull"));
  const onAbort = (): void => connection.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await connection.greet(remoteFeatures.pullArchive);
    yield* pulledFile(connection, "archive");
    await connection.send({ type: "goodbye" }).catch(() => {});
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    connection.destroy();
  }
}

async function* pulledFile(connection: Connection, kind: "index" | "archive"): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    connection.expect(() => `the rest of the ${kind}`);
    const message = await connection.next();
    // What is done with the bytes is none of the peer's time.
    connection.rest();
    if (message.type === `${kind}-end`) return;
    if (message.type !== kind) throw connection.unexpected(message);
    yield message.bytes;
  }
}

/** A chunk that is waited for. */
interface Waiting extends PromiseWithResolvers<StoredChunk | undefined> {
  /** Callers that still want it. */
  callers: number;
}

/** One conversation in which chunks are asked for. Each may be asked for once: casync answers no twice. */
export class ChunkConversation {
  readonly #connection: Connection;
  readonly #waiting = new Map<ChunkName, Waiting>();
  readonly #asked = new Set<ChunkName>();
  #failure: unknown;
  #retired = false;
  readonly #awaited = (): string => `chunk ${[...this.#waiting.keys()][0] ?? ""}`;

  private constructor(connection: Connection) {
    this.#connection = connection;
    void this.#listen();
  }

  /** @throws NetworkError; EnvironmentError; FormatError */
  static async open(connect: Connect, stores: RemoteFiles["stores"], signal: AbortSignal): Promise<ChunkConversation> {
    const connection = new Connection(await connect({ stores }, "pull"));
    signal.addEventListener("abort", () => connection.destroy(), { once: true });
    try {
      await connection.greet(remoteFeatures.pullChunks);
    } catch (error) {
      connection.destroy();
      throw error;
    }
    return new ChunkConversation(connection);
  }

  /** Whether the chunk can still be asked for here, or is waited for. */
  canAsk(name: ChunkName, maxRequests: number): boolean {
    if (this.#failure !== undefined || this.#retired) return false;
    return this.#waiting.has(name) || (!this.#asked.has(name) && this.#asked.size < maxRequests);
  }

  /** Whether the chunk was asked for and answered here. */
  hasAnswered(name: ChunkName): boolean {
    return this.#asked.has(name) && !this.#waiting.has(name);
  }

  /**
   * The chunk's stored bytes; undefined when the other machine does not have it. A caller that waits no
   * longer says so with leave().
   */
  ask(name: ChunkName): Promise<StoredChunk | undefined> {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) {
      waiting.callers++;
      return waiting.promise;
    }
    const created = { ...Promise.withResolvers<StoredChunk | undefined>(), callers: 1 };
    // Whoever has left does not handle its error.
    created.promise.catch(() => {});
    this.#waiting.set(name, created);
    this.#asked.add(name);
    this.#connection.expect(this.#awaited);
    // When it cannot be written, the peer has ended, which #listen() hears.
    this.#connection.send({ type: "request", urgent: false, names: [name] }).catch(() => {});
    return created.promise;
  }

  /** A caller of ask() does not wait any more. */
  leave(name: ChunkName): void {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) waiting.callers--;
    this.#closeIfThrough();
  }

  /** Ends the conversation as soon as nobody waits in it. */
  retire(): void {
    this.#retired = true;
    this.#closeIfThrough();
  }

  close(): void {
    this.#retired = true;
    this.#connection.destroy();
  }

  #closeIfThrough(): void {
    if (!this.#retired) return;
    for (const { callers } of this.#waiting.values()) if (callers > 0) return;
    this.close();
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#connection.next();
        if (message.type !== "chunk" && message.type !== "missing") throw this.#connection.unexpected(message);
        const waiting = this.#waiting.get(message.name);
        if (waiting === undefined) throw this.#connection.unexpected(message);
        this.#waiting.delete(message.name);
        if (this.#waiting.size === 0) this.#connection.rest();
        waiting.resolve(message.type === "chunk" ? message : undefined);
        this.#closeIfThrough();
      }
    } catch (error) {
      this.#failure = error;
      for (const [name, waiting] of this.#waiting) {
        this.#asked.delete(name);
        waiting.reject(error);
      }
      this.#waiting.clear();
      this.#connection.destroy();
    }
  }
}

/**
 * Driver: chunk stores on another machine, read in casync's remote protocol.
 *
 * casync answers a request for a chunk once in a conversation and forgets to when it is asked again.
 * A chunk that is wanted again is therefore asked for in a new conversation, and kept from then on.
 * @module
 */
import { abortedError, AbortedError, FormatError, NetworkError, throwIfAborted } from "@imgtool/core";
import { checkChunkName } from "../chunk-path.ts";
import { maxStoredBytes } from "../limits.ts";
import type { ChunkName, ReadStore, StoredChunk } from "../store.ts";
import type { Connect } from "./connection.ts";
import { ChunkConversation } from "./pull.ts";
import { sshConnect, type SshOptions } from "./ssh-channel.ts";
import { parseSshLocation } from "./ssh-location.ts";

/** Chunks that are asked for in one conversation: what is remembered of it takes some 10 MB. */
const maxRequests = 100_000;
/** Memory for chunks that are wanted again and again, in bytes. */
const maxKept: number = 32 * 1024 ** 2;
/** Conversations that are tried for a chunk when they break. */
const maxTries = 3;

/**
 * Opens a chunk store on another machine: `[user@]host:path` or `ssh://[user@]host[:port]/path`. No
 * connection is made yet. casync or imgtool has to be there.
 * @throws ConfigError `ssh-location-invalid`
 */
export function openSshStore(location: string, options: SshOptions = {}): ReadStore {
  const parsed = parseSshLocation(location);
  return openRemoteStore(sshConnect(parsed, options), parsed.path, location);
}

/** As openSshStore(), over any connection. @param location what messages call the store */
export function openRemoteStore(connect: Connect, path: string, location: string): ReadStore {
  return new RemoteStore(connect, path, location);
}

interface OpenedConversation {
  readonly opening: Promise<ChunkConversation>;
  readonly conversation: ChunkConversation;
  readonly again: boolean;
}

class RemoteStore implements ReadStore {
  readonly location: string;
  readonly #connect: Connect;
  readonly #path: string;
  #opening: Promise<ChunkConversation> | undefined;
  readonly #stop = new AbortController();
  readonly #kept = new Map<ChunkName, StoredChunk>();
  #keptBytes = 0;

  constructor(connect: Connect, path: string, location: string) {
    this.#connect = connect;
    this.#path = path;
    this.location = location;
  }

  /** The protocol has no question for it: the chunk is fetched. */
  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    return (await this.get(name, signal)) !== undefined;
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    checkChunkName(name);
    throwIfAborted(signal);
    const chunk = this.#kept.get(name) ?? (await this.#fetch(name, signal));
    const limit = maxBytes ?? maxStoredBytes();
    if (chunk === undefined || chunk.bytes.length <= limit) return chunk;
    throw new FormatError(`chunk ${name} in the store ${this.location} has ${chunk.bytes.length} bytes`, {
      code: "store-entry-invalid",
      hint: "remove the chunk from that store and publish again",
      data: { store: this.location, chunk: name, expected: limit, found: chunk.bytes.length },
    });
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#kept.clear();
    this.#stop.abort();
    await opening?.then(
      (opened) => opened.close(),
      () => {},
    );
  }

  async #fetch(name: ChunkName, signal: AbortSignal | undefined): Promise<StoredChunk | undefined> {
    for (let attempt = 1; ; attempt++) {
      const { opening, conversation, again } = await withAbort(this.#conversationFor(name), signal);
      try {
        const chunk = await withAbort(conversation.ask(name), signal);
        if (again && chunk !== undefined) this.#keep(name, chunk);
        return chunk;
      } catch (error) {
        // Chunks are answered in order: others do not wait for one that nobody waits for.
        if (error instanceof AbortedError) this.#retire(opening, conversation);
        const canRepeat = error instanceof NetworkError && error.code !== "remote-aborted";
        if (!canRepeat || attempt === maxTries) throw error;
      } finally {
        conversation.leave(name);
      }
    }
  }

  /** A conversation in which the chunk can be asked for; whether the one before had answered it. */
  async #conversationFor(name: ChunkName): Promise<OpenedConversation> {
    let again = false;
    for (;;) {
      const opening = (this.#opening ??= ChunkConversation.open(this.#connect, [this.#path], this.#stop.signal));
      let conversation: ChunkConversation;
      try {
        conversation = await opening;
      } catch (error) {
        if (this.#opening === opening) this.#opening = undefined;
        throw error;
      }
      if (conversation.canAsk(name, maxRequests)) return { opening, conversation, again };
      again ||= conversation.hasAnswered(name);
      this.#retire(opening, conversation);
    }
  }

  #retire(opening: Promise<ChunkConversation>, conversation: ChunkConversation): void {
    conversation.retire();
    if (this.#opening === opening) this.#opening = undefined;
  }

  /** Keeps a chunk that is wanted more than once; the ones that were kept first make room. */
  #keep(name: ChunkName, { bytes: frame, compressed }: StoredChunk): void {
    if (this.#kept.has(name)) return;
    // A copy: the chunk is part of a frame, and that perhaps of more.
    this.#kept.set(name, { bytes: new Uint8Array(frame), compressed });
    this.#keptBytes += frame.length;
    for (const [oldest, { bytes }] of this.#kept) {
      if (this.#keptBytes <= maxKept) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= bytes.length;
    }
  }
}

/** The answer, or AbortedError as soon as the signal fires; the answer is then dropped when it comes. */
async function withAbort<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(abortedError(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([answer, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    answer.catch(() => {});
  }
}

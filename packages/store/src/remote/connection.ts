/**
 * A conversation in casync's remote protocol over any pair of streams.
 * @module
 */
import {
  type EnvironmentError,
  FormatError,
  ImgtoolError,
  NetworkError,
  NotFoundError,
  throwIfAborted,
} from "@imgtool/core";
import { checkFeatures } from "./features.ts";
import { FrameReader } from "./frame-reader.ts";
import { encodeMessage, type Message } from "./messages.ts";
import { SilenceWatch, watched } from "./silence.ts";

/** Two streams to a peer, and what is known of it. */
export interface Channel {
  /** The peer, for messages. */
  readonly name: string;
  readonly input: AsyncIterable<Uint8Array>;
  /** How long a peer that owes an answer may say nothing, in milliseconds. Default: for ever. */
  readonly silence?: number | undefined;
  /** Resolves when more may be written. @throws PeerGoneError */
  write(bytes: Uint8Array): Promise<void>;
  /** Says that nothing more is written. */
  end(): void;
  /** Ends both streams at once. */
  destroy(): void;
  /** Waits for the peer's end. The reason, when it is known to have failed. */
  ended(): Promise<NetworkError | EnvironmentError | undefined>;
}

/** Opens a channel to a peer that offers what is asked for. */
export type Connect = (files: RemoteFiles, direction: "pull" | "push", signal?: AbortSignal) => Promise<Channel>;

/** What is asked for: paths as the remote side has them. */
export interface RemoteFiles {
  readonly archive?: string | undefined;
  readonly index?: string | undefined;
  /** The store that is written first. */
  readonly stores?: readonly string[] | undefined;
}

export class Connection {
  readonly #channel: Channel;
  readonly #messages: AsyncGenerator<Message, void>;
  readonly #watch: SilenceWatch | undefined;
  #remote = 0n;
  #silence: NetworkError | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
    const { silence, input } = channel;
    if (silence !== undefined) {
      this.#watch = new SilenceWatch(channel.name, silence, (error) => {
        this.#silence = error;
        channel.destroy();
      });
    }
    this.#messages = readMessages(this.#watch === undefined ? input : watched(input, this.#watch));
  }

  /** The peer owes something: one that says nothing for too long is hung up on. */
  expect(awaited: () => string): void {
    this.#watch?.expect(awaited);
  }

  /** The peer owes nothing: it may take its time. */
  rest(): void {
    this.#watch?.rest();
  }

  get name(): string {
    return this.#channel.name;
  }

  /** What the peer has greeted with. */
  get remoteFeatures(): bigint {
    return this.#remote;
  }

  /**
   * Greets, and takes the peer's greeting.
   * @throws FormatError `protocol-features`, `protocol-frame`; NetworkError, `remote-timeout` among them;
   *   EnvironmentError
   */
  async greet(features: bigint): Promise<void> {
    this.#watch?.expectGreeting();
    await this.send({ type: "hello", features }).catch(passGone);
    const first = await this.next();
    this.rest();
    if (first.type !== "hello") throw this.unexpected(first);
    checkFeatures(features, first.features);
    this.#remote = first.features;
  }

  async send(message: Message): Promise<void> {
    await this.#channel.write(encodeMessage(message));
  }

  /**
   * The next message, or undefined at the end of the peer's stream.
   * @throws FormatError `protocol-frame`; NetworkError `remote-ended` amid a message; what the peer aborts with
   */
  async read(): Promise<Message | undefined> {
    let result: IteratorResult<Message, void>;
    try {
      result = await this.#messages.next();
    } catch (error) {
      if (this.#silence !== undefined) throw this.#silence;
      // The link is broken, of which the peer's end tells more.
      if (error instanceof CutStreamError) throw (await this.#channel.ended()) ?? remoteEnded(this.name, error);
      // A stream that was taken down or reset.
      throw error instanceof ImgtoolError ? error : remoteEnded(this.name, error);
    }
    if (this.#silence !== undefined) throw this.#silence;
    if (result.done === true) return undefined;
    const { value } = result;
    if (value.type === "abort") throw aborted(this.name, value.errno, value.reason);
    return value;
  }

  /** As read(), from a peer that must not have ended. @throws NetworkError `remote-ended` */
  async next(): Promise<Message> {
    const message = await this.read();
    if (message === undefined) throw await this.endError();
    return message;
  }

  /** Tells the peer what went wrong here, as far as it still listens: nobody waits for it. */
  abort(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    void this.send({ type: "abort", errno: errnoOf(cause), reason }).catch(() => {});
    this.#channel.end();
  }

  /** Why the peer's stream has ended too early. */
  async endError(): Promise<NetworkError | EnvironmentError> {
    return (await this.#channel.ended()) ?? remoteEnded(this.name);
  }

  unexpected(message: Message): FormatError {
    return new FormatError(`${this.name} sends what was not asked for: ${message.type}`, {
      code: "protocol-unexpected",
      hint: "the remote side does not keep to casync's protocol",
      data: { peer: this.name, found: message.type },
    });
  }

  /** Nothing more is written; waits until the peer has ended. @throws why it failed */
  async finish(): Promise<void> {
    this.rest();
    this.#channel.end();
    const failure = await this.#channel.ended();
    if (failure !== undefined) throw failure;
  }

  destroy(): void {
    this.rest();
    this.#channel.destroy();
  }
}

/** Runs with a connection that is taken down at its end, and at once when the signal fires. */
export async function withConnection<T>(
  channel: Channel,
  signal: AbortSignal | undefined,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = new Connection(channel);
  const onAbort = (): void => connection.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    throwIfAborted(signal);
    return await work(connection);
  } catch (error) {
    connection.abort(error);
    throwIfAborted(signal);
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    connection.destroy();
  }
}

/** The peer does not read any more. Why, its own stream tells, or its end. */
export class PeerGoneError extends NetworkError {
  constructor(peer: string) {
    super(`${peer} does not read any more`, { code: "remote-ended", data: { peer } });
  }
}

/** For what is written before the peer's stream is read to its end. */
export function passGone(error: unknown): void {
  if (!(error instanceof PeerGoneError)) throw error;
}

async function* readMessages(input: AsyncIterable<Uint8Array>): AsyncGenerator<Message, void> {
  const reader = new FrameReader();
  for await (const bytes of input) yield* reader.push(bytes);
  if (!reader.finish()) throw new CutStreamError();
}

/** Nothing is wrong with what has come, but the rest of it is missing. */
class CutStreamError extends Error {
  constructor() {
    super("the stream ends amid a frame");
    this.name = "CutStreamError";
  }
}

function remoteEnded(peer: string, cause?: unknown): NetworkError {
  const isCut = cause instanceof CutStreamError;
  return new NetworkError(`${peer} ends the connection ${isCut ? "amid a message" : "too early"}`, {
    code: "remote-ended",
    hint: "try again; if it happens again, run casync or imgtool on the remote side to see why",
    data: { peer },
    cause,
  });
}

/** Numbers of Linux: what a peer names when a file is not there. */
const notThere: ReadonlySet<number> = new Set([2, 123]);
const enoent = 2;
const eio = 5;

function errnoOf(error: unknown): number {
  return error instanceof NotFoundError ? enoent : eio;
}

function aborted(peer: string, errno: number, reason: string): NetworkError | NotFoundError {
  const text = printable(reason);
  const message = `${peer} gives up: ${text === "" ? `error ${errno}` : text}`;
  const options = { data: { peer, errno, reason: text } };
  if (notThere.has(errno)) {
    return new NotFoundError(message, { ...options, code: "remote-not-found", hint: "check the path on that machine" });
  }
  return new NetworkError(message, { ...options, code: "remote-aborted", hint: "the reason is the remote side's" });
}

/** Text from elsewhere on one line, without what a terminal would obey. */
export function printable(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim()
    .slice(0, 1000);
}

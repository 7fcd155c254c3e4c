/**
 * A session of the SSH File Transfer Protocol over a channel: many requests under way, each answered by
 * its number.
 * @module
 */
import { FormatError, ImgtoolError, NetworkError } from "@imgtool/core";
import type { Channel } from "../remote/connection.ts";
import { SilenceWatch, watched } from "../remote/silence.ts";
import { encodePacket, PacketReader, packetType, statusCode } from "./packets.ts";

/** The longest packet that is taken: servers send no more than they are asked for, 32 KiB of data. */
const longestPacket = 512 * 1024;

/** A request that the server has refused. */
export class SftpStatusError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message === "" ? `status ${status}` : message);
    this.name = "SftpStatusError";
    this.status = status;
  }
}

interface Waiting {
  /** What was asked for, for messages. */
  readonly request: string;
  resolve(packet: PacketReader): void;
  reject(error: unknown): void;
}

export class SftpSession {
  readonly #channel: Channel;
  readonly #waiting = new Map<number, Waiting>();
  readonly #extensions = new Set<string>();
  /** Paths of what is open, by its handle. */
  readonly #paths = new Map<string, string>();
  readonly #watch: SilenceWatch | undefined;
  #greeted: Waiting | undefined;
  #next = 1;
  #sending: Promise<void> = Promise.resolve();
  #error: unknown;

  private constructor(channel: Channel) {
    this.#channel = channel;
    const { silence } = channel;
    if (silence === undefined) return;
    this.#watch = new SilenceWatch(channel.name, silence, (error) => {
      this.#fail(error);
      channel.destroy();
    });
  }

  /** Greets the server. @throws NetworkError, EnvironmentError; FormatError `sftp-packet`, `sftp-version` */
  static async open(channel: Channel): Promise<SftpSession> {
    const session = new SftpSession(channel);
    const greeting = new Promise<PacketReader>(
      (resolve, reject) => (session.#greeted = { request: "init", resolve, reject }),
    );
    session.#watch?.expectGreeting();
    void session.#read();
    void session.#send(encodePacket(packetType.init, 3));
    const version = await greeting;
    const number = version.number();
    if (version.type !== packetType.version || number < 3) {
      throw new FormatError(`${channel.name} does not speak version 3 of the sftp protocol`, {
        code: "sftp-version",
        data: { expected: 3, found: number },
      });
    }
    while (!version.isAtEnd) {
      session.#extensions.add(version.text());
      version.bytes();
    }
    return session;
  }

  /** Whether the session has ended. */
  get isGone(): boolean {
    return this.#error !== undefined;
  }

  /** Whether the server has an extension, such as `fsync@openssh.com`. */
  knows(extension: string): boolean {
    return this.#extensions.has(extension);
  }

  /**
   * Sends a request and waits for its answer.
   * @throws SftpStatusError for an answer that says no; NetworkError when the connection ends
   */
  async request(type: number, ...fields: readonly (number | bigint | string | Uint8Array)[]): Promise<PacketReader> {
    if (this.#error !== undefined) throw this.#error;
    const number = this.#next;
    this.#next = (this.#next + 1) >>> 0;
    const { request, path } = this.#describe(type, fields);
    const answer = new Promise<PacketReader>((resolve, reject) =>
      this.#waiting.set(number, { request, resolve, reject }),
    );
    this.#watch?.expect(this.#awaited);
    // A channel that takes nothing more fails the answer when the time is up: that is not waited for behind it.
    void this.#send(encodePacket(type, number, ...fields));
    const packet = await answer;
    if (packet.type === packetType.handle) this.#paths.set(packet.peekBytes().toString("latin1"), path);
    if (packet.type !== packetType.status) return packet;
    const status = packet.number();
    if (status === statusCode.ok) return packet;
    throw new SftpStatusError(status, packet.isAtEnd ? "" : packet.text());
  }

  readonly #awaited = (): string => {
    const [first] = this.#waiting.values();
    return first === undefined ? "an answer" : `an answer to: ${first.request}`;
  };

  /** What a request is in messages, and the path that it is about. */
  #describe(
    type: number,
    [first]: readonly (number | bigint | string | Uint8Array)[],
  ): { readonly request: string; readonly path: string } {
    const name = Object.entries(packetType).find(([, value]) => value === type)?.[0] ?? String(type);
    const handle = first instanceof Uint8Array ? Buffer.from(first).toString("latin1") : undefined;
    const path = handle === undefined ? String(first) : (this.#paths.get(handle) ?? "");
    if (type === packetType.close && handle !== undefined) this.#paths.delete(handle);
    return { request: `${name} ${path}`.trim(), path };
  }

  /** Writes one packet after the other: many that wait for the channel would wait each by itself. */
  #send(packet: Buffer): Promise<void> {
    const sending = this.#sending
      .then(() => this.#channel.write(packet))
      .catch(() => {
        // why the peer is gone is told by whoever reads
      });
    this.#sending = sending;
    return sending;
  }

  close(): void {
    this.#fail(new NetworkError(`the connection to ${this.#channel.name} is closed`, { code: "remote-closed" }));
    this.#channel.destroy();
  }

  async #read(): Promise<void> {
    let waiting = Buffer.alloc(0);
    try {
      const { input } = this.#channel;
      for await (const bytes of this.#watch === undefined ? input : watched(input, this.#watch)) {
        waiting = Buffer.concat([waiting, bytes]);
        for (let taken = this.#take(waiting); taken !== undefined; taken = this.#take(waiting)) waiting = taken;
      }
      const reason = await this.#channel.ended();
      this.#fail(
        reason ??
          new NetworkError(`${this.#channel.name} has ended the sftp session`, {
            code: "remote-closed",
            hint: "look whether sftp works: sftp HOST",
          }),
      );
    } catch (error) {
      this.#fail(error);
      this.#channel.destroy();
    }
  }

  /** Takes a packet off the beginning; what remains, or undefined when there is no whole one. */
  #take(bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> | undefined {
    if (bytes.length < 4) return undefined;
    const length = bytes.readUInt32BE(0);
    if (length < 1 || length > longestPacket) {
      throw new FormatError(`${this.#channel.name} sends what is no sftp packet`, {
        code: "sftp-packet",
        hint: "a shell that prints something for non-interactive logins does that",
        data: { expected: `1 to ${longestPacket} bytes`, found: length },
      });
    }
    if (bytes.length < 4 + length) return undefined;
    const packet = new PacketReader(bytes.subarray(4, 4 + length));
    if (this.#greeted !== undefined) {
      this.#greeted.resolve(packet);
      this.#greeted = undefined;
      this.#watch?.rest();
    } else {
      const number = packet.number();
      this.#waiting.get(number)?.resolve(packet);
      this.#waiting.delete(number);
      if (this.#waiting.size === 0) this.#watch?.rest();
    }
    return bytes.subarray(4 + length);
  }

  #fail(error: unknown): void {
    this.#watch?.rest();
    this.#error ??= error instanceof ImgtoolError ? error : new NetworkError(String(error), { code: "remote-failed" });
    this.#greeted?.reject(this.#error);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#error);
    this.#waiting.clear();
  }
}

/**
 * Finds peers that have an index: a one-shot question by multicast DNS from a port of its own, to which they
 * answer to that port (RFC 6762 section 5.1). The question says nothing but that somebody looks for peers.
 * @module
 */
import type { RemoteInfo, Socket } from "node:dgram";
import { setTimeout as delay } from "node:timers/promises";
import { decodeMessage, encodeMessage, typePtr } from "./dns-message.ts";
import { isNeighbour, type LocalAddress, localAddresses, multicastAddress, multicastPort } from "./interfaces.ts";
import { portsFor, serviceName } from "./service.ts";

/** Milliseconds after the start at which the question is sent: packets get lost, and peers come. */
const questionTimes = [0, 90, 1000, 4000, 15_000, 60_000] as const;
/** So long after the first question all peers that are there have answered, in milliseconds. */
const answerTime = 250;
/** A neighbour may pretend to be many. */
const maxPeers = 32;

export interface PeerAddress {
  readonly address: string;
  readonly port: number;
}

type Answer = Parameters<typeof portsFor>[1];

/** Looks for peers from its making on until it is disposed of. It throws nothing: without peers there are none. */
export class PeerFinder implements Disposable {
  readonly #end = new AbortController();
  /** By the address of this machine that they ask from. */
  readonly #sockets = new Map<string, Socket>();
  /** What came before it was said what is looked for. */
  readonly #early: [RemoteInfo, Answer][] = [];
  readonly #found = new Map<string, PeerAddress>();
  readonly #answered: Promise<void>;
  #digest: string | undefined;
  #isAnswered = false;

  /** @param addresses only at these addresses of this machine. Default: at all but the loopback's */
  constructor(addresses?: readonly string[]) {
    this.#answered = new Promise((resolve) => void this.#run(addresses, resolve));
  }

  /** Whether peers that are there have had the time to answer. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** Resolves when isAnswered is set. */
  answered(): Promise<void> {
    return this.#answered;
  }

  /** Says of which index chunks are wanted: its digest by indexDigest(). */
  want(digest: string): void {
    this.#digest = digest;
    for (const [sender, records] of this.#early.splice(0)) this.#add(sender, records);
  }

  /** Peers that say they have the index. */
  get peers(): readonly PeerAddress[] {
    return [...this.#found.values()];
  }

  [Symbol.dispose](): void {
    this.#end.abort();
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  /** @param onAnswered called when peers have had the time to answer, or are not asked */
  async #run(addresses: readonly string[] | undefined, onAnswered: () => void): Promise<void> {
    const answered = (): void => {
      this.#isAnswered = true;
      onAnswered();
    };
    let now = 0;
    for (const time of questionTimes) {
      await this.#wait(time - now);
      if (this.#end.signal.aborted) break;
      now = time;
      // The network may have come since.
      const locals = localAddresses(addresses).filter(({ address }) => !this.#sockets.has(address));
      await Promise.all(locals.map((local) => this.#open(local)));
      for (const socket of this.#sockets.values()) socket.send(question, multicastPort, multicastAddress, () => {});
      if (time !== 0) continue;
      if (this.#sockets.size === 0) answered();
      else void this.#wait(answerTime).then(answered);
    }
    answered();
  }

  async #open(local: LocalAddress): Promise<void> {
    const { createSocket } = await import("node:dgram");
    if (this.#end.signal.aborted) return;
    const socket = createSocket("udp4");
    // an interface that cannot be used has no peers
    socket.on("error", () => {});
    socket.on("message", (packet, sender) => {
      const message = decodeMessage(packet);
      const isAnswer = message?.isResponse === true && sender.port === multicastPort;
      if (isAnswer && isNeighbour(local, sender.address)) this.#take(sender, message.records);
    });
    await new Promise<void>((resolve) => {
      socket.once("error", () => resolve());
      socket.bind(0, local.address, () => {
        socket.setMulticastInterface(local.address);
        socket.setMulticastTTL(255);
        socket.unref();
        this.#sockets.set(local.address, socket);
        resolve();
      });
    });
    if (this.#end.signal.aborted) this[Symbol.dispose]();
  }

  #take(sender: RemoteInfo, records: Answer): void {
    if (this.#digest !== undefined) this.#add(sender, records);
    else if (this.#early.length < maxPeers) this.#early.push([sender, records]);
  }

  /** The address is the sender's, whatever the records say: nobody can lead requests elsewhere. */
  #add({ address }: RemoteInfo, records: Answer): void {
    for (const port of portsFor(this.#digest ?? "", records)) {
      const key = `${address}:${port}`;
      if (this.#found.size < maxPeers && port > 0) this.#found.set(key, { address, port });
    }
  }

  /** Waits, unless it is disposed of; keeps a process alive only as long as somebody may wait for answers. */
  async #wait(milliseconds: number): Promise<void> {
    const options = { ref: !this.#isAnswered, signal: this.#end.signal };
    await delay(Math.max(0, milliseconds), undefined, options).catch(() => {});
  }
}

const question: Uint8Array = encodeMessage({
  id: 0,
  isResponse: false,
  questions: [{ name: serviceName, type: typePtr, unicast: true }],
  records: [],
});

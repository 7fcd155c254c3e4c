/**
 * Announces a peer: answers whoever asks by multicast DNS, tells of changes, and says goodbye.
 *
 * A socket for each address, all at port 5353, which they share with other responders of the machine. The
 * names are random, so they are not probed for (RFC 6762 section 8.1).
 * @module
 */
import type { RemoteInfo, Socket } from "node:dgram";
import { setTimeout as delay } from "node:timers/promises";
import { EnvironmentError, errorMessage, systemErrorCode } from "@imgtool/core";
import { decodeMessage, type DnsMessage, type DnsRecord, encodeMessage, typeAny, typePtr } from "./dns-message.ts";
import { isNeighbour, type LocalAddress, localAddresses, multicastAddress, multicastPort } from "./interfaces.ts";
import { allServices, newLabel, type PeerService, serviceName, serviceRecords } from "./service.ts";

export interface AnnounceOptions {
  /** Of the web server. */
  readonly port: number;
  /** Digests of the indexes, see indexDigest(). */
  readonly digests: readonly string[];
  /** Only at these addresses. Default: at all IPv4 addresses but the loopback's. */
  readonly addresses?: readonly string[] | undefined;
}

export interface Announcement extends AsyncDisposable {
  /** Addresses at which it is heard. */
  readonly addresses: readonly string[];
  /** Announces other indexes. */
  update(digests: readonly string[]): Promise<void>;
  /** Begins at addresses that the machine has got since, and ends at those that it has lost. */
  refresh(): Promise<void>;
}

/** Answers to questions that others may answer, too, wait so long, in milliseconds: RFC 6762 section 6. */
const [shortestDelay, longestDelay] = [20, 120] as const;
/** An announcement is repeated once: packets get lost. */
const repeatAfter = 1000;

/** Announces until it is disposed of. @throws EnvironmentError `peer-announce-failed` */
export async function announcePeer({ port, digests, addresses }: AnnounceOptions): Promise<Announcement> {
  const announcement = new Announcer({ label: newLabel(), port, digests }, addresses);
  await announcement.refresh();
  return announcement;
}

class Announcer implements Announcement {
  #service: PeerService;
  readonly #only: readonly string[] | undefined;
  readonly #responders = new Map<string, Responder>();

  constructor(service: PeerService, only: readonly string[] | undefined) {
    this.#service = service;
    this.#only = only;
  }

  get addresses(): readonly string[] {
    return [...this.#responders.keys()];
  }

  async update(digests: readonly string[]): Promise<void> {
    this.#service = { ...this.#service, digests };
    for (const responder of this.#responders.values()) await responder.announce(this.#service);
  }

  async refresh(): Promise<void> {
    const found = localAddresses(this.#only);
    for (const [address, responder] of this.#responders) {
      if (found.some((local) => local.address === address)) continue;
      this.#responders.delete(address);
      responder.close();
    }
    for (const local of found) {
      if (this.#responders.has(local.address)) continue;
      const responder = await Responder.open(local);
      this.#responders.set(local.address, responder);
      await responder.announce(this.#service);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const responder of this.#responders.values()) {
      await responder.goodbye();
      responder.close();
    }
    this.#responders.clear();
  }
}

class Responder {
  readonly #local: LocalAddress;
  readonly #socket: Socket;
  readonly #closed = new AbortController();
  #service: PeerService | undefined;

  private constructor(local: LocalAddress, socket: Socket) {
    this.#local = local;
    this.#socket = socket;
    socket.on("message", (packet, sender) => void this.#take(packet, sender));
    // an interface that has gone: refresh() finds that out
    socket.on("error", () => {});
    socket.unref();
  }

  static async open(local: LocalAddress): Promise<Responder> {
    const { createSocket } = await import("node:dgram");
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind(multicastPort, multicastAddress, resolve);
      });
      socket.addMembership(multicastAddress, local.address);
      socket.setMulticastInterface(local.address);
      socket.setMulticastTTL(255);
      socket.setMulticastLoopback(true);
    } catch (error) {
      socket.close();
      throw new EnvironmentError(`cannot announce at ${local.address}: ${errorMessage(error)}`, {
        code: "peer-announce-failed",
        hint: "another program may have port 5353 for itself; leave --peer out to serve without announcing",
        data: { address: local.address, errno: systemErrorCode(error) },
        cause: error,
      });
    }
    socket.removeAllListeners("error");
    return new Responder(local, socket);
  }

  /** Tells everybody, twice. */
  async announce(service: PeerService): Promise<void> {
    this.#service = service;
    await this.#tell(serviceRecords(service, this.#local.address));
    void this.#later(
      repeatAfter,
      () => this.#service === service && this.#tell(serviceRecords(service, this.#local.address)),
    );
  }

  async goodbye(): Promise<void> {
    if (this.#service !== undefined) await this.#tell(serviceRecords(this.#service, this.#local.address, 0));
  }

  close(): void {
    this.#closed.abort();
    this.#socket.close();
  }

  async #take(packet: Uint8Array, sender: RemoteInfo): Promise<void> {
    const message = decodeMessage(packet);
    if (message === undefined || message.isResponse || !isNeighbour(this.#local, sender.address)) return;
    const records = this.#answers(message);
    if (records.length === 0) return;
    await this.#later(shortestDelay + Math.random() * (longestDelay - shortestDelay), () => {
      // Who asks from another port is no responder: it gets its own question back, and what it may remember
      // for a moment only (RFC 6762 section 6.7).
      if (sender.port !== multicastPort) {
        const brief = records.map((record) => ({ ...record, unique: false, ttl: Math.min(record.ttl, 10) }));
        return this.#send({ ...message, isResponse: true, records: brief }, sender);
      }
      const isPrivate = message.questions.every(({ unicast }) => unicast);
      return isPrivate ? this.#send(response(records), sender) : this.#tell(records);
    });
  }

  /** What this peer has to say to the questions; nothing that the asker says it knows. */
  #answers({ questions, records: known }: DnsMessage): DnsRecord[] {
    if (this.#service === undefined) return [];
    const records = serviceRecords(this.#service, this.#local.address);
    const [pointer] = records;
    for (const { name, type } of questions) {
      const asked = name.toLowerCase();
      if (asked === serviceName && (type === typePtr || type === typeAny)) {
        const isKnown = known.some(
          (record) =>
            record.type === typePtr &&
            pointer?.type === typePtr &&
            record.target === pointer.target &&
            record.ttl >= pointer.ttl / 2,
        );
        return isKnown ? [] : records;
      }
      if (asked === allServices && type === typePtr)
        return [{ type: typePtr, name: allServices, ttl: 120, unique: false, target: serviceName }];
      const own = records.filter((record) => record.name === asked && (record.type === type || type === typeAny));
      if (own.length > 0) return own;
    }
    return [];
  }

  #tell(records: readonly DnsRecord[]): Promise<void> {
    return this.#send(response(records), { address: multicastAddress, port: multicastPort });
  }

  async #later(milliseconds: number, act: () => unknown): Promise<void> {
    const { signal } = this.#closed;
    try {
      await delay(milliseconds, undefined, { ref: false, signal });
    } catch {
      return;
    }
    await act();
  }

  /** A packet that cannot be sent is one that got lost. */
  async #send(message: DnsMessage, { address, port }: Pick<RemoteInfo, "address" | "port">): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.send(encodeMessage(message), port, address, () => resolve()));
  }
}

function response(records: readonly DnsRecord[]): DnsMessage {
  return { id: 0, isResponse: true, questions: [], records };
}

/**
 * The service that imgtool's peers announce with multicast DNS (RFC 6762) and DNS-SD (RFC 6763): a web server
 * with a chunk store at /default.castr, and the digests of the indexes whose chunks are in it. No names.
 * @module
 */
import { hash, randomBytes } from "node:crypto";
import { type DnsRecord, typeA, typePtr, typeSrv, typeTxt } from "./dns-message.ts";

export const serviceName = "_imgtool._tcp.local";
/** Where every service of a network is asked for: RFC 6763 section 9. */
export const allServices = "_services._dns-sd._udp.local";
/** Where a peer has its chunks, always: nobody can lead a request to another path. */
export const peerStorePath = "default.castr";

/** Seconds that others may remember it. */
const lifetime = 120;
const digestLength = 32;
/** What fits into a text of 255 bytes. */
const digestsInText = 7;
/** More would not fit into one packet of an Ethernet. */
export const maxAnnounced = 35;

/** What stands for an index in an announcement: the beginning of the SHA-256 of its file. */
export function indexDigest(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex").slice(0, digestLength);
}

export interface PeerService {
  /** Unlike any other's, and new for every run: nothing of the machine's name. */
  readonly label: string;
  readonly port: number;
  /** Of the indexes, as indexDigest() has them. */
  readonly digests: readonly string[];
}

export function newLabel(): string {
  return `imgtool-${randomBytes(8).toString("hex")}`;
}

/** The records of a service at an address; `ttl` 0 takes them back. */
export function serviceRecords(
  { label, port, digests }: PeerService,
  address: string,
  ttl: number = lifetime,
): DnsRecord[] {
  const instance = `${label}.${serviceName}`;
  const host = `${label}.local`;
  return [
    { type: typePtr, name: serviceName, ttl, unique: false, target: instance },
    { type: typeSrv, name: instance, ttl, unique: true, port, target: host },
    { type: typeTxt, name: instance, ttl, unique: true, texts: textsOf(digests) },
    { type: typeA, name: host, ttl, unique: true, address },
  ];
}

/** Keys of texts are unique in a record: i0, i1 and so on. */
function textsOf(digests: readonly string[]): string[] {
  const texts = ["v=1"];
  for (let at = 0; at < digests.length; at += digestsInText)
    texts.push(`i${at / digestsInText}=${digests.slice(at, at + digestsInText).join(",")}`);
  return texts;
}

/** The ports of the services in records that have the index. What is not in order is passed over. */
export function portsFor(digest: string, records: readonly DnsRecord[]): number[] {
  const ports: number[] = [];
  for (const record of records) {
    if (record.type !== typeSrv || record.ttl === 0 || !record.name.toLowerCase().endsWith(`.${serviceName}`)) continue;
    const text = records.find((other) => other.type === typeTxt && other.name === record.name);
    const texts = text?.type === typeTxt ? text.texts : [];
    const isKnown = texts.includes("v=1");
    if (
      isKnown &&
      texts.some(
        (one) =>
          /^i\d+=/.test(one) &&
          one
            .slice(one.indexOf("=") + 1)
            .split(",")
            .includes(digest),
      )
    )
      ports.push(record.port);
  }
  return ports;
}

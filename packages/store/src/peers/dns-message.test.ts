/** DNS messages: golden bytes, round trips, and packets that anybody may send. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeMessage, type DnsMessage, encodeMessage, typeA, typePtr, typeSrv, typeTxt } from "./dns-message.ts";
import { isNeighbour } from "./interfaces.ts";
import { indexDigest, maxAnnounced, portsFor, serviceName, serviceRecords } from "./service.ts";

const digests = Array.from({ length: maxAnnounced }, (_, i) => indexDigest(Buffer.from(`index ${i}`)));
const service = { label: "imgtool-0123456789abcdef", port: 8080, digests };

test("a question has the bytes that RFC 6762 gives it", () => {
  const question = encodeMessage({
    id: 0,
    isResponse: false,
    questions: [{ name: serviceName, type: typePtr, unicast: true }],
    records: [],
  });
  const name = "085f696d67746f6f6c045f746370056c6f63616c00";
  expect(Buffer.from(question).toString("hex")).toBe(`000000000001000000000000${name}000c8001`);
});

test("what is written is read back, and fits into one packet", () => {
  const message: DnsMessage = {
    id: 7,
    isResponse: true,
    questions: [{ name: "a.local", type: typeA, unicast: false }],
    records: serviceRecords(service, "192.0.2.1"),
  };
  const packet = encodeMessage(message);
  expect(packet.length).toBeLessThanOrEqual(1472);
  expect(decodeMessage(packet)).toEqual(message);
});

/** The name of the first record in a packet that holds these bytes as records. */
function nameIn(hex: string): string | undefined {
  const packet = Buffer.from(`000084000000000100000000${hex}`, "hex");
  return decodeMessage(packet)?.records[0]?.name;
}

test("compressed names are followed, backwards only", () => {
  const local = "056c6f63616c00";
  const rest = "000c000100000078";
  // The record's name is "local"; its target goes on there.
  const packet = Buffer.from(`000084000000000100000000${local}${rest}00040161c00c`, "hex");
  expect(decodeMessage(packet)?.records).toEqual([
    { type: typePtr, name: "local", ttl: 120, unique: false, target: "a.local" },
  ]);
  for (const loop of ["c00c", "c00e", "c0ff", "0161c00c", "c0", "3f61", "40", "ff"])
    expect(nameIn(loop)).toBeUndefined();
});

test("no packet does harm", () => {
  const packet = encodeMessage({ id: 0, isResponse: true, questions: [], records: serviceRecords(service, "1.2.3.4") });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => void decodeMessage(bytes)));
  fc.assert(
    fc.property(fc.nat(packet.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
      const altered = new Uint8Array(packet);
      altered[at] = (altered[at] ?? 0) ^ bits;
      portsFor("", decodeMessage(altered)?.records ?? []);
      expect(decodeMessage(packet.subarray(0, at))).toBeUndefined();
    }),
  );
});

test("an announcement tells who has an index, until it is taken back", () => {
  const records = serviceRecords(service, "192.0.2.1");
  expect(portsFor(digests[maxAnnounced - 1] ?? "", records)).toEqual([8080]);
  expect(portsFor(indexDigest(Buffer.from("another")), records)).toEqual([]);
  expect(portsFor(digests[0]?.slice(0, 31) ?? "", records)).toEqual([]);
  expect(portsFor(digests[0] ?? "", serviceRecords(service, "192.0.2.1", 0))).toEqual([]);
  const others = records.map((record) => (record.type === typeTxt ? { ...record, texts: ["v=2"] } : record));
  expect(portsFor(digests[0] ?? "", others)).toEqual([]);
  const text = records.flatMap((record) => (record.type === typeTxt ? record.texts : [])).join();
  expect(text).toMatch(/^v=1,i0=[0-9a-f,]+,i1=/);
  expect(records.filter(({ type }) => type === typeSrv)).toHaveLength(1);
});

test("neighbours are those in the same network", () => {
  const local = { address: "10.1.2.3", netmask: "255.255.255.0" };
  expect(isNeighbour(local, "10.1.2.200")).toBe(true);
  expect(isNeighbour(local, "10.1.3.3")).toBe(false);
  expect(isNeighbour({ address: "192.168.9.1", netmask: "255.255.0.0" }, "192.168.200.7")).toBe(true);
  expect(isNeighbour(local, "::1")).toBe(false);
});

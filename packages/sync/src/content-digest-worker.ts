/**
 * Worker thread of the chunk pipeline: the digest of the whole stream, which has to see its bytes in
 * order and therefore cannot be shared out as the chunks are.
 * @module
 */
import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import type { DigestAlgorithm } from "@imgtool/chunker";
import { ChunkRing, type RingMemory } from "./chunk-ring.ts";
import { endDrop, endFinish } from "./order-queue.ts";

export interface ContentDigestWorkerData {
  readonly memory: RingMemory;
  readonly digest: DigestAlgorithm;
}

/** The digest as hexadecimal text; empty when the stream was dropped. */
export interface ContentDigestMessage {
  readonly type: "content";
  readonly digest: string;
}

/** Bytes hashed before the ring's space is given back. */
const pieceSize: number = 1024 ** 2;

const data = workerData as ContentDigestWorkerData;
const ring = new ChunkRing(data.memory);

function digestStream(): string {
  const hash = createHash(data.digest);
  let position = 0;
  for (;;) {
    const signal = ring.contentSignal;
    const end = ring.end;
    if (end === endDrop) return "";
    const written = ring.written;
    if (written > position) {
      const offset = position % ring.capacity;
      const length = Math.min(written - position, ring.capacity - offset, pieceSize);
      hash.update(ring.bytes.subarray(offset, offset + length));
      position += length;
      ring.setDigested(position);
    } else if (end === endFinish) return hash.digest("hex");
    else ring.waitContent(signal);
  }
}

parentPort?.postMessage({ type: "content", digest: digestStream() } satisfies ContentDigestMessage);

/**
 * SHA-256 of many messages of one length, several at a time: OpenSSL's `sha256_multi_block`, which Node.js's
 * executable has on x86-64, called through koffi. The processor works at one message while another's last
 * instruction is not done yet, so that blocks of 4096 bytes take 40 % less processor time than one after
 * another through node:crypto (measured, with SHA extensions; with AVX2 it is eight at once).
 *
 * The function is none of OpenSSL's public ones. Its arguments are the same in all of OpenSSL 1.0.2 to 3.5
 * (crypto/sha/asm/sha256-mb-x86_64.pl); other versions are not asked, and its first digests are compared with
 * those of node:crypto.
 * @module
 */
import { hash } from "node:crypto";
import { addressOf, foreign } from "./libc.ts";

/** Bytes of a digest. */
const digestSize = 32;
/** Bytes that SHA-256 takes at a time: FIPS 180-4, 5.1.1. */
const blockSize = 64;
/** Messages per call: AVX2 has eight lanes, and SHA extensions work at them two by two. */
const lanes = 8;
/** struct SHA256_MB_CTX: the words A to H, each of eight lanes. */
const stateSize = 8 * lanes * 4;
/** struct HASH_DESC: the address, the number of blocks, and four bytes that nobody reads. */
const descriptorSize = 16;

/** FIPS 180-4, 5.3.3 */
const initial = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
] as const;

const multiBlock = foreign("void sha256_multi_block(void *state, const void *descriptors, int groups_of_four)");

/** Memory for messages of one length, and what hashes them. */
export interface Sha256Batch {
  /** Each has the messages' length; the caller fills them. */
  readonly messages: readonly Buffer[];
  /**
   * Writes the digest of every message in `which` to `output`: that of message i to byte 32 × i.
   * `output` has room for the digests of all messages.
   */
  digest(which: readonly number[], output: Uint8Array): void;
}

/**
 * Memory for `count` messages of `length` bytes. The digests are the same everywhere; where Node.js's
 * executable lacks the function, node:crypto makes them.
 */
export function sha256Batch(length: number, count: number): Sha256Batch {
  return hasMultiBlock() ? multiBlockBatch(length, count) : plainBatch(length, count);
}

/** One message after another, through node:crypto. */
export function plainBatch(length: number, count: number): Sha256Batch {
  const whole = Buffer.alloc(length * count);
  const messages = Array.from({ length: count }, (_, index) => whole.subarray(index * length, (index + 1) * length));
  return {
    messages,
    digest(which, output) {
      const target = Buffer.from(output.buffer, output.byteOffset, output.length);
      // A latin1 string takes half as long as a Buffer for each digest (measured).
      for (const index of which)
        target.write(hash("sha256", messages[index] as Buffer, "binary"), index * digestSize, digestSize, "latin1");
    },
  };
}

function multiBlockBatch(length: number, count: number): Sha256Batch {
  const blocks = Math.ceil((length + 9) / blockSize);
  const stride = blocks * blockSize;
  // One piece of memory, which does not move while something here refers to it. OpenSSL aligns the state to 32 bytes.
  const memory = Buffer.alloc(blockSize + stateSize + lanes * descriptorSize + count * stride);
  const base = addressOf(memory);
  const start = (blockSize - Number(base % BigInt(blockSize))) % blockSize;
  const descriptorsAt = start + stateSize;
  const messagesAt = descriptorsAt + lanes * descriptorSize;
  const state = new Uint32Array(memory.buffer, memory.byteOffset + start, stateSize / 4);
  const begin = Uint32Array.from(state, (_, at) => initial[Math.floor(at / lanes)] ?? 0);
  const descriptors = memory.subarray(descriptorsAt, messagesAt);
  const addresses = new BigUint64Array(memory.buffer, memory.byteOffset + descriptorsAt, (lanes * descriptorSize) / 8);
  for (let lane = 0; lane < lanes; lane++) descriptors.writeInt32LE(blocks, lane * descriptorSize + 8);

  const messages: Buffer[] = [];
  const places: bigint[] = [];
  for (let index = 0; index < count; index++) {
    const at = messagesAt + index * stride;
    messages.push(memory.subarray(at, at + length));
    places.push(base + BigInt(at));
    // The padding is that of the last block: it stays, as all messages have one length.
    memory[at + length] = 0x80;
    memory.writeBigUInt64BE(BigInt(length) * 8n, at + stride - 8);
  }
  return {
    messages,
    digest(which, output) {
      const target = new DataView(output.buffer, output.byteOffset, output.length);
      for (let from = 0; from < which.length; from += lanes) {
        const used = Math.min(lanes, which.length - from);
        // Lanes that are left over hash the group's first message once more.
        for (let lane = 0; lane < lanes; lane++)
          addresses[lane * 2] = places[which[lane < used ? from + lane : from] as number] as bigint;
        state.set(begin);
        multiBlock(memory.subarray(start, descriptorsAt), descriptors, lanes / 4);
        for (let lane = 0; lane < used; lane++) {
          const at = (which[from + lane] as number) * digestSize;
          for (let word = 0; word < 8; word++) target.setUint32(at + word * 4, state[word * lanes + lane] as number);
        }
      }
    },
  };
}

/** Of those that Node.js 24 and later can have. */
const knownVersions = /^3\.[0-5]\./;

let isUsable: boolean | undefined;

/** Whether the function is there and gives the digests that node:crypto gives. */
export function hasMultiBlock(): boolean {
  isUsable ??= tryMultiBlock();
  return isUsable;
}

function tryMultiBlock(): boolean {
  if (process.arch !== "x64" || !knownVersions.test(process.versions.openssl ?? "")) return false;
  try {
    const batch = multiBlockBatch(150, lanes + 1);
    for (const [index, message] of batch.messages.entries()) message.fill(`${index} imgtool`);
    const which = batch.messages.map((_, index) => index);
    const found = Buffer.alloc(which.length * digestSize);
    batch.digest(which, found);
    const expected = batch.messages.map((message) => hash("sha256", message, "buffer"));
    return found.equals(Buffer.concat(expected));
  } catch {
    // a Node.js without the function, or koffi without a build for this machine
    return false;
  }
}

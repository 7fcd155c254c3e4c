/**
 * The hot loop of cutting: rolls casync's Buzhash over bytes until one may make a cut.
 *
 * It is a WebAssembly function of some 500 bytes, assembled here: 860 to 960 MB/s where the same loop
 * in JavaScript reaches 360 to 400 (measured in one process, Node.js 24, on a busy machine). Where
 * WebAssembly is not to be had, the JavaScript loop does.
 *
 * `h mod d = d − 1` is `d divides h + 1`, and d = odd · 2^shift divides n exactly when
 * rotr(n · odd⁻¹ mod 2^32, shift) ≤ ⌊(2^32 − 1) / d⌋ (Granlund and Montgomery, "Division by Invariant
 * Integers using Multiplication", section 9). A hash of 2^32 − 1 makes n wrap to 0: the caller
 * confirms a hit by the division itself.
 * @module
 */
import { buzhashTable } from "./buzhash-table.ts";
import { windowSize } from "./sizes.ts";

/** What a byte contributes when it enters the window, and when it leaves (rotated by 48 ≡ 16). */
export const entering: Int32Array = Int32Array.from(buzhashTable);
const leaving: Int32Array = entering.map((value) => (value << 16) | (value >>> 16));

/** Bytes scanned in one call: small enough to stay in the first-level cache. */
export const pieceSize = 16_384;

/** The constants of the division test. */
export interface DivisionTest {
  readonly inverse: number;
  readonly shift: number;
  readonly limit: number;
}

/** The test for divisibility of hash + 1 by a divisor from 1 to 2^27. */
export function divisionTest(divisor: number): DivisionTest {
  const shift = 31 - Math.clz32(divisor & -divisor);
  return { inverse: inverseOf(divisor >>> shift), shift, limit: Math.floor(0xffffffff / divisor) };
}

/** The number x with odd · x ≡ 1 mod 2^32, by Newton's iteration: each step doubles the correct bits. */
function inverseOf(odd: number): number {
  let x = odd;
  for (let i = 0; i < 4; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}

/** Scans pieces of a stream. One belongs to each Cutter, with 64 KiB of memory. */
export interface RollingScan {
  /** The window, 48 bytes, and after it room for a piece: one array, so that the window can roll. */
  readonly buffer: Uint8Array;
  /** Hash after the byte that scan() stopped at; set it before the first. */
  hash: number;
  /**
   * Rolls over piece[from, to).
   * @returns the position after the first byte whose hash passes the test, or −1
   */
  scan(from: number, to: number): number;
}

/** A scan in WebAssembly, or in JavaScript where that is absent or forbidden. */
export function rollingScan(test: DivisionTest): RollingScan {
  try {
    return new WasmScan(test);
  } catch {
    return new PlainScan(test);
  }
}

/** The loop in JavaScript. */
export class PlainScan implements RollingScan {
  readonly buffer: Uint8Array = new Uint8Array(windowSize + pieceSize);
  hash = 0;
  readonly #test: DivisionTest;

  constructor(test: DivisionTest) {
    this.#test = test;
  }

  scan(from: number, to: number): number {
    const { inverse, shift, limit } = this.#test;
    const { buffer } = this;
    let hash = this.hash;
    for (let i = from; i < to; i++) {
      hash =
        ((hash << 1) | (hash >>> 31)) ^
        (leaving[buffer[i] as number] as number) ^
        (entering[buffer[i + windowSize] as number] as number);
      const quotient = Math.imul(hash + 1, inverse);
      if (((quotient >>> shift) | (quotient << (32 - shift))) >>> 0 <= limit) {
        this.hash = hash;
        return i + 1;
      }
    }
    this.hash = hash;
    return -1;
  }
}

/** Addresses in the function's memory: both tables, then window and piece. */
const leavingAt = 1024;
const bufferAt = 2048;

interface ScanExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly hash: { readonly value: number };
  scan(from: number, to: number, hash: number, inverse: number, shift: number, limit: number): number;
}

/** The part of WebAssembly's interface that is used: the pure packages know neither DOM nor Node.js types. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

let compiled: object | undefined;

/** The loop in WebAssembly. Its constructor throws where WebAssembly cannot be used. */
export class WasmScan implements RollingScan {
  readonly buffer: Uint8Array;
  hash = 0;
  readonly #test: DivisionTest;
  readonly #exports: ScanExports;

  constructor(test: DivisionTest) {
    const api = (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;
    if (api === undefined) throw new Error("this engine has no WebAssembly");
    compiled ??= new api.Module(assemble());
    this.#test = test;
    this.#exports = new api.Instance(compiled).exports as ScanExports;
    const memory = this.#exports.memory.buffer;
    new Int32Array(memory, 0, 256).set(entering);
    new Int32Array(memory, leavingAt, 256).set(leaving);
    this.buffer = new Uint8Array(memory, bufferAt, windowSize + pieceSize);
  }

  scan(from: number, to: number): number {
    const { inverse, shift, limit } = this.#test;
    const found = this.#exports.scan(bufferAt + from, bufferAt + to, this.hash, inverse, shift, limit);
    this.hash = this.#exports.hash.value;
    return found < 0 ? -1 : found - bufferAt;
  }
}

/** Steps per turn of the loop: one comparison of addresses then serves so many bytes. */
const unrolled = 8;

// Opcodes of the WebAssembly core specification, section 5.4, by their text names.
const op = {
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  branch: 0x0c,
  return: 0x0f,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalSet: 0x24,
  load: 0x28,
  loadByte: 0x2d,
  constant: 0x41,
  lessSigned: 0x48,
  notAboveUnsigned: 0x4d,
  add: 0x6a,
  multiply: 0x6c,
  xor: 0x73,
  shiftLeft: 0x74,
  rotateLeft: 0x77,
  rotateRight: 0x78,
} as const;
const i32 = 0x7f;
const noResult = 0x40;

/** The module: (func (export "scan") (param $at $to $hash $inverse $shift $limit i32) (result i32)). */
function assemble(): Uint8Array {
  const [at, to, hash, inverse, shift, limit] = [0, 1, 2, 3, 4, 5].map((local) => [op.localGet, local]) as [
    number[],
    number[],
    number[],
    number[],
    number[],
    number[],
  ];
  const constant = (value: number): number[] => [op.constant, ...signed(value)];
  // table[memory[$at + offset]]
  const lookUp = (table: number, offset: number): number[] =>
    [at, [op.loadByte, 0], unsigned(offset), constant(2), [op.shiftLeft, op.load, 2], unsigned(table)].flat();
  // $hash = rotl($hash, 1) ^ leaving[byte k] ^ entering[byte k + 48]; return $at + k + 1 if it passes
  const step = (k: number): number[] =>
    [
      [hash, constant(1), [op.rotateLeft], lookUp(leavingAt, k), [op.xor], lookUp(0, k + windowSize), [op.xor]],
      [[op.localTee, 2], constant(1), [op.add], inverse, [op.multiply], shift, [op.rotateRight]],
      [limit, [op.notAboveUnsigned, op.if, noResult], hash, [op.globalSet, 0]],
      [at, constant(k + 1), [op.add, op.return, op.end]],
    ].flat(2);
  // while ($at + count − 1 < $to) { count steps; $at += count }
  const turn = (count: number): number[] =>
    [
      [[op.loop, noResult], at, constant(count - 1), [op.add], to, [op.lessSigned, op.if, noResult]],
      Array.from({ length: count }, (_, k) => step(k)),
      [at, constant(count), [op.add, op.localSet, 0, op.branch, 1, op.end, op.end]],
    ].flat(2);
  const body = [[0], turn(unrolled), turn(1), hash, [op.globalSet, 0], constant(-1), [op.end]].flat();
  const sections = [
    section(1, [1, 0x60, 6, i32, i32, i32, i32, i32, i32, 1, i32]), // the function's type
    section(3, [1, 0]), // one function, of type 0
    section(5, [1, 1, 1, 1]), // one memory of exactly one page of 64 KiB
    section(6, [[1, i32, 1], constant(0), [op.end]].flat()), // one global: the hash
    section(7, [[3], name("scan"), [0, 0], name("memory"), [2, 0], name("hash"), [3, 0]].flat()),
    section(10, [[1], unsigned(body.length), body].flat()),
  ];
  return Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0].concat(...sections));
}

/** A name: its length, then its letters. */
function name(text: string): number[] {
  return [text.length, ...new TextEncoder().encode(text)];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

/** LEB128 of a number from 0 up. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

/** Signed LEB128. */
function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}

/**
 * The hot loop of cutting: rolls casync's Buzhash over bytes until one may make a cut.
 *
 * It is a WebAssembly function of some 500 bytes, assembled here: two to three times as fast as the
 * same loop in JavaScript (measured in one process, Node.js 24). Where
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

/** Scans pieces of a stream. One belongs to each Cutter. */
export interface RollingScan {
  /** The window, 48 bytes, and after it room for a piece: one array, so that the window can roll. */
  readonly buffer: Uint8Array;
  /** Hash after the byte that scan() or scanIn() stopped at; set it before the first. */
  hash: number;
  /**
   * Rolls over piece[from, to) of the buffer.
   * @returns the position after the first byte whose hash passes the test, or −1
   */
  scan(from: number, to: number): number;
  /** Whether scanIn() can read these bytes where they are. */
  takes(bytes: Uint8Array): boolean;
  /** As scan(), over bytes[from, to), where the window is the 48 bytes before `from`. */
  scanIn(bytes: Uint8Array, from: number, to: number): number;
}

/**
 * A scan in WebAssembly, or in JavaScript where that is absent or forbidden.
 * @param memory what scanIn() is to read
 */
export function rollingScan(test: DivisionTest, memory?: CutterMemory): RollingScan {
  try {
    return new WasmScan(test, memory);
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
    const found = this.scanIn(this.buffer, from + windowSize, to + windowSize);
    return found < 0 ? -1 : found - windowSize;
  }

  takes(): boolean {
    return true;
  }

  scanIn(bytes: Uint8Array, from: number, to: number): number {
    const { inverse, shift, limit } = this.#test;
    let hash = this.hash;
    for (let i = from; i < to; i++) {
      hash =
        ((hash << 1) | (hash >>> 31)) ^
        (leaving[bytes[i - windowSize] as number] as number) ^
        (entering[bytes[i] as number] as number);
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

/** Addresses in the function's memory: both tables, then window and piece, then what scanIn() reads. */
const leavingAt = 1024;
const bufferAt = 2048;
const pageSize = 65_536;
const dataAt = pageSize;

/** The part of WebAssembly's interface that is used: the pure packages know neither DOM nor Node.js types. */
interface WebAssemblyApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared?: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly m: { readonly m: WasmMemory } },
  ) => {
    readonly exports: unknown;
  };
}

interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

interface ScanExports {
  readonly hash: { readonly value: number };
  scan(from: number, to: number, hash: number): number;
}

function webAssembly(): WebAssemblyApi {
  const api = (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;
  if (api === undefined) throw new Error("this engine has no WebAssembly");
  return api;
}

/**
 * Memory that threads can share and whose bytes a Cutter reads where they are; bytes elsewhere it
 * copies piece by piece, which takes a third of the time of cutting when they are shared (measured).
 * It serves one Cutter.
 */
export class CutterMemory {
  /** What is to be cut goes here. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Undefined where WebAssembly is absent or refuses so much memory. */
  readonly wasm: object | undefined;

  /** @param capacity in bytes */
  constructor(capacity: number) {
    const pages = dataAt / pageSize + Math.ceil(capacity / pageSize);
    try {
      const memory = new (webAssembly().Memory)({ initial: pages, maximum: pages, shared: true });
      this.wasm = memory;
      this.bytes = new Uint8Array(memory.buffer as SharedArrayBuffer, dataAt, capacity);
    } catch {
      this.wasm = undefined;
      this.bytes = new Uint8Array(new SharedArrayBuffer(capacity));
    }
  }
}

/** The loop in WebAssembly. Its constructor throws where WebAssembly cannot be used. */
export class WasmScan implements RollingScan {
  readonly buffer: Uint8Array;
  hash = 0;
  readonly #exports: ScanExports;
  readonly #memory: ArrayBuffer | SharedArrayBuffer;

  constructor(test: DivisionTest, memory?: CutterMemory) {
    const api = webAssembly();
    const shared = memory?.wasm as WasmMemory | undefined;
    const used = shared ?? new api.Memory({ initial: 1, maximum: 1 });
    const module = compile(
      api,
      test,
      shared === undefined ? 1 : used.buffer.byteLength / pageSize,
      shared !== undefined,
    );
    this.#exports = new api.Instance(module, { m: { m: used } }).exports as ScanExports;
    this.#memory = used.buffer;
    new Int32Array(used.buffer, 0, 256).set(entering);
    new Int32Array(used.buffer, leavingAt, 256).set(leaving);
    this.buffer = new Uint8Array(used.buffer, bufferAt, windowSize + pieceSize);
  }

  scan(from: number, to: number): number {
    const at = bufferAt + windowSize;
    return this.#run(at + from, at + to, at);
  }

  takes(bytes: Uint8Array): boolean {
    return bytes.buffer === this.#memory && bytes.byteOffset >= dataAt;
  }

  scanIn(bytes: Uint8Array, from: number, to: number): number {
    return this.#run(bytes.byteOffset + from, bytes.byteOffset + to, bytes.byteOffset);
  }

  /** The function counts from the byte that leaves the window. */
  #run(from: number, to: number, base: number): number {
    const found = this.#exports.scan(from - windowSize, to - windowSize, this.hash);
    this.hash = this.#exports.hash.value;
    return found < 0 ? -1 : found + windowSize - base;
  }
}

let compiled: { readonly key: string; readonly module: object } | undefined;

/** The module for a test; the last one is kept, since most streams have the same chunk sizes. */
function compile(api: WebAssemblyApi, test: DivisionTest, pages: number, isShared: boolean): object {
  const key = [test.inverse, test.shift, test.limit, pages, isShared].join();
  if (compiled?.key !== key) compiled = { key, module: new api.Module(assemble(test, pages, isShared)) };
  return compiled.module;
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

/**
 * The module: (func (export "scan") (param $at $to $hash i32) (result i32)). Addresses are those of the bytes
 * that leave the window. The test's numbers are
 * constants in it: a fifth faster than parameters (measured).
 */
function assemble({ inverse, shift, limit }: DivisionTest, pages: number, isShared: boolean): Uint8Array {
  const [at, to, hash] = [0, 1, 2].map((local) => [op.localGet, local]) as [number[], number[], number[]];
  const constant = (value: number): number[] => [op.constant, ...signed(value | 0)];
  // table[memory[$at + offset]]
  const lookUp = (table: number, offset: number): number[] =>
    [at, [op.loadByte, 0], unsigned(offset), constant(2), [op.shiftLeft, op.load, 2], unsigned(table)].flat();
  const rotated = shift === 0 ? [] : [...constant(shift), op.rotateRight];
  // $hash = rotl($hash, 1) ^ (leaving[byte k] ^ entering[byte k + 48]); return $at + k + 1 if it passes
  const step = (k: number): number[] =>
    [
      [hash, constant(1), [op.rotateLeft], lookUp(leavingAt, k), lookUp(0, k + windowSize), [op.xor, op.xor]],
      [[op.localTee, 2], constant(1), [op.add], constant(inverse), [op.multiply], rotated],
      [constant(limit), [op.notAboveUnsigned, op.if, noResult], hash, [op.globalSet, 0]],
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
    section(1, [1, 0x60, 3, i32, i32, i32, 1, i32]), // the function's type
    // the memory, of exactly so many pages of 64 KiB
    section(2, [[1], name("m"), name("m"), [2, isShared ? 3 : 1], unsigned(pages), unsigned(pages)].flat()),
    section(3, [1, 0]), // one function, of type 0
    section(6, [[1, i32, 1], constant(0), [op.end]].flat()), // one global: the hash
    section(7, [[2], name("scan"), [0, 0], name("hash"), [3, 0]].flat()),
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

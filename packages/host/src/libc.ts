/**
 * The C library, called through koffi. Loaded on the first call only: koffi takes some 30 ms, and most
 * commands need no system call that Node.js lacks.
 *
 * Declarations hold for 64-bit Linux on x86-64 and arm64 alike; where C declares `...`, the arguments
 * are passed in the same registers as named ones on both.
 * @module
 */
import { createRequire } from "node:module";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { EnvironmentError } from "@imgtool/core";

/** A path or file name: bytes as the kernel has them, or text to be encoded as UTF-8. */
export type PathLike = Uint8Array | string;

/** Stands for the current directory where a directory descriptor is asked for. */
export const AT_FDCWD = -100;

/** A system call failed: `code`, `errno`, `syscall` and `path` as in the errors of node:fs. */
export class SystemCallError extends Error {
  /** `ENOENT` and the like. */
  readonly code: string;
  /** Negative, as Node.js has it. */
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(errno: number, syscall: string, path?: PathLike) {
    const code = getSystemErrorName(-errno);
    const text = path === undefined ? undefined : displayPath(path);
    super(
      `${code}: ${getSystemErrorMessage(-errno)}, ${syscall}${text === undefined ? "" : ` ${JSON.stringify(text)}`}`,
    );
    this.name = "SystemCallError";
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
    this.path = text;
  }
}

/** A path for messages: UTF-8 where it is, bytes as \xNN where it is not. */
export function displayPath(path: PathLike): string {
  if (typeof path === "string") return path;
  const bytes = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
  const text = bytes.toString("utf8");
  if (Buffer.from(text, "utf8").equals(bytes)) return text;
  return bytes
    .toString("latin1")
    .replaceAll(/[^\u0020-\u007e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/**
 * NUL-terminated bytes of a path.
 * @throws SystemCallError EINVAL when it has a NUL inside, which the kernel would take for its end
 */
export function cPath(path: PathLike, syscall: string): Buffer {
  const bytes = typeof path === "string" ? Buffer.from(path, "utf8") : path;
  if (bytes.includes(0)) throw new SystemCallError(einval, syscall, path);
  const terminated = Buffer.allocUnsafe(bytes.length + 1);
  terminated.set(bytes);
  terminated[bytes.length] = 0;
  return terminated;
}

const einval = 22;
const eintr = 4;

/** What C functions take here: numbers, 64-bit numbers, and memory. */
export type Argument = number | bigint | Uint8Array | null | object;
type Foreign = (...args: readonly Argument[]) => number;

/** The part of koffi that this package uses. */
export interface Koffi {
  load(path: string | null): { func(definition: string): Foreign };
  errno(value?: number): number;
  address(value: Uint8Array): bigint;
  struct(name: string, fields: Readonly<Record<string, string>>): object;
}

let loaded: { koffi: Koffi; library: ReturnType<Koffi["load"]> } | undefined;

function load(): NonNullable<typeof loaded> {
  if (loaded === undefined) {
    try {
      const koffi = createRequire(import.meta.url)("koffi") as Koffi;
      loaded = { koffi, library: koffi.load(null) };
    } catch (cause) {
      throw new EnvironmentError("the C library cannot be called: the package koffi does not load", {
        code: "koffi-missing",
        hint: "npm rebuild koffi",
        cause,
      });
    }
  }
  return loaded;
}

/** A C function, found when it is called first. */
export function foreign(definition: string, prepare?: (koffi: Koffi) => void): Foreign {
  let found: Foreign | undefined;
  return (...args) => {
    if (found === undefined) {
      const { koffi, library } = load();
      prepare?.(koffi);
      found = library.func(definition);
    }
    return found(...args);
  };
}

/** Where the bytes are in memory: they stay there as long as something refers to them. */
export function addressOf(bytes: Uint8Array): bigint {
  return load().koffi.address(bytes);
}

/** The errno that the last C function left. */
export function lastErrno(): number {
  return load().koffi.errno();
}

/**
 * A system call that returns -1 and sets errno when it fails. Interrupted calls are repeated.
 * @returns a function that takes the path for messages, then the arguments
 */
export function systemCall(
  syscall: string,
  definition: string,
): (path: PathLike | undefined, ...args: readonly Argument[]) => number {
  const run = foreign(definition);
  return (path, ...args) => {
    for (;;) {
      const result = run(...args);
      if (result !== -1) return result;
      const errno = lastErrno();
      if (errno !== eintr) throw new SystemCallError(errno, syscall, path);
    }
  };
}

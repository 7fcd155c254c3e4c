/**
 * What a cpio archive says about one file.
 * @module
 */
import { FormatError } from "@imgtool/core";

interface Common {
  /** Bytes of the name, relative, without a leading "./": names on Linux need not be UTF-8. */
  readonly path: Uint8Array;
  /** Permission bits, with set-user-ID, set-group-ID and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. Times that the format has no room for become the nearest it has. */
  readonly mtime: number;
  /** For a file with several names. Each name is an entry of its own, all with the same content. */
  readonly hardLink?: HardLink;
}

export interface HardLink {
  /** The same for all names of one file, another for each file. */
  readonly id: string;
  /** How many names the file has, at least 2. */
  readonly count: number;
}

export interface FileEntry extends Common {
  readonly kind: "file";
  /** Bytes of content, less than 4 GiB. */
  readonly size: number;
  /** Read once, and only when the archive comes to it; of a file with several names, the last one's. */
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface SymlinkEntry extends Common {
  readonly kind: "symlink";
  readonly target: Uint8Array;
}

export interface DeviceEntry extends Common {
  readonly kind: "character-device" | "block-device";
  readonly major: number;
  readonly minor: number;
}

export interface PlainEntry extends Common {
  readonly kind: "directory" | "fifo";
}

export type CpioEntry = FileEntry | SymlinkEntry | DeviceEntry | PlainEntry;

/** Name of the entry that ends an archive. */
export const trailerName = "TRAILER!!!";

/** The largest number that a field of eight hexadecimal digits holds. */
export const fieldLimit = 0xffff_ffff;

const decoder = new TextDecoder();

function within(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= limit;
}

/**
 * Checks what an encoder cannot write down.
 * @throws FormatError `cpio-entry-invalid`
 */
export function checkEntry(entry: CpioEntry): void {
  const name = decoder.decode(entry.path);
  const check = (good: boolean, what: string): void => {
    if (!good)
      throw new FormatError(`cpio entry "${name}": ${what}`, { code: "cpio-entry-invalid", data: { path: name } });
  };
  check(entry.path.length > 0 && entry.path[0] !== 0x2f, "expected a relative path that is not empty");
  check(!entry.path.includes(0), "the path contains a NUL byte");
  check(name !== trailerName, "this name ends an archive");
  check(within(entry.mode, 0o7777), `mode ${entry.mode} is not within 0 to 0o7777`);
  for (const id of [entry.uid, entry.gid]) check(within(id, fieldLimit), `owner ${id} is not within 0 to 2^32-1`);
  check(Number.isFinite(entry.mtime), `the time ${entry.mtime} is not a number of seconds`);
  if (entry.kind === "file")
    check(within(entry.size, fieldLimit), `its size, ${entry.size} bytes, is not within 0 to 4 GiB less one byte`);
  if (entry.kind === "symlink")
    check(entry.target.length > 0 && !entry.target.includes(0), "the link's target is empty or contains a NUL byte");
  if (entry.kind === "character-device" || entry.kind === "block-device")
    for (const number of [entry.major, entry.minor])
      check(within(number, fieldLimit), `device number ${number} is not within 0 to 2^32-1`);
  if (entry.hardLink !== undefined)
    check(
      Number.isInteger(entry.hardLink.count) && entry.hardLink.count >= 2 && entry.hardLink.count <= fieldLimit,
      `${entry.hardLink.count} is no number of hard links`,
    );
}

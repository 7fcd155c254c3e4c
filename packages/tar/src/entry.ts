/**
 * What a tar archive says about one file.
 * @module
 */
import { FormatError } from "@imgtool/core";

interface Common {
  /** Bytes of the name, without a leading slash: names on Linux need not be UTF-8. */
  readonly path: Uint8Array;
  /** Permission bits, with set-user-ID, set-group-ID and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since 1970; may be negative. */
  readonly mtime: bigint;
  /** Extended attributes, in any order. */
  readonly xattrs?: readonly ExtendedAttribute[];
  /** Access control lists, access and default, in the text form of acl(5). */
  readonly acl?: string;
  readonly defaultAcl?: string;
}

export interface ExtendedAttribute {
  /** With its namespace: `security.capability`. */
  readonly name: string;
  readonly value: Uint8Array;
}

export interface FileEntry extends Common {
  readonly kind: "file";
  /** Bytes of content. */
  readonly size: number;
  /** Read once, and only when the archive comes to it. */
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface LinkEntry extends Common {
  /** `hardlink`: another name of a file that the archive holds already; target is that entry's path. */
  readonly kind: "symlink" | "hardlink";
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

export type TarEntry = FileEntry | LinkEntry | DeviceEntry | PlainEntry;

const decoder = new TextDecoder("utf-8", { fatal: false });

/**
 * Checks what an encoder cannot write down.
 * @throws FormatError `tar-entry-invalid`
 */
export function checkEntry(entry: TarEntry): void {
  const name = decoder.decode(entry.path);
  const check = (good: boolean, what: string): void => {
    if (!good)
      throw new FormatError(`tar entry "${name}": ${what}`, { code: "tar-entry-invalid", data: { path: name } });
  };
  check(entry.path.length > 0 && entry.path[0] !== 0x2f, "expected a relative path that is not empty");
  check(!entry.path.includes(0), "the path contains a NUL byte");
  check(
    Number.isInteger(entry.mode) && entry.mode >= 0 && entry.mode <= 0o7777,
    `mode ${entry.mode} is not within 0 to 0o7777`,
  );
  for (const id of [entry.uid, entry.gid])
    check(Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff, `owner ${id} is not within 0 to 2^32-1`);
  if (entry.kind === "file")
    check(Number.isSafeInteger(entry.size) && entry.size >= 0, `size ${entry.size} is not a whole number of bytes`);
  if (entry.kind === "symlink" || entry.kind === "hardlink")
    check(entry.target.length > 0 && !entry.target.includes(0), "the link's target is empty or contains a NUL byte");
  if (entry.kind === "character-device" || entry.kind === "block-device")
    for (const number of [entry.major, entry.minor])
      check(
        Number.isInteger(number) && number >= 0 && number <= 0o7777777,
        `device number ${number} is not within 0 to 2^21-1`,
      );
  for (const { name: attribute } of entry.xattrs ?? [])
    check(
      attribute !== "" && !attribute.includes("\0"),
      "an extended attribute's name is empty or contains a NUL byte",
    );
}

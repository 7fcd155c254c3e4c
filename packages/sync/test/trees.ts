/**
 * Trees for tests.
 * @module
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parseWith } from "@imgtool/catar";
import { fchownat, mknodat, setFileFlags, setMtime, setXattr } from "@imgtool/host";
import { randomBytes } from "@imgtool/testkit";

const deviceTypes = { block: 0o060_600, character: 0o020_600 } as const;

/** Makes a tree with every kind of node that the process may make; returns its path. */
export function makeFixture(path: string): string {
  mkdirSync(path);
  const at = (...parts: readonly string[]): string => join(path, ...parts);
  mkdirSync(at("empty-directory"), 0o750);
  mkdirSync(at("etc", "deep", "er"), { recursive: true });
  writeFileSync(at("etc", "text"), "hello\n");
  writeFileSync(at("etc", "empty"), "");
  writeFileSync(at("etc", "deep", "er", "secret"), "s", { mode: 0o600 });
  writeFileSync(at("program"), randomBytes(300_000, "program"), { mode: 0o755 });
  writeFileSync(at("library"), randomBytes(900_000, "library"));
  writeFileSync(at("sparse"), "");
  truncateSync(at("sparse"), 2_000_000);
  writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from("fffe200a5c23", "hex")]), "odd name");
  symlinkSync("../etc/text", at("etc", "link"));
  symlinkSync("/nowhere", at("dangling"));
  const fd = openSync(path, "r");
  mknodat(fd, "fifo", 0o010_640);
  mknodat(fd, "socket", 0o140_600);
  if (process.geteuid?.() === 0) addPrivileged(path, fd);
  chmodSync(at("fifo"), 0o4610);
  chmodSync(at("empty-directory"), 0o1770);
  for (const [index, name] of ["fifo", "etc/text", "etc/link", "etc/deep", "program", "socket"].entries()) {
    setMtime(fd, name, 1_612_325_106_123_456_789n + BigInt(index) * 1_000_000_007n);
  }
  setMtime(fd, "", 5_000_000_001n);
  closeSync(fd);
  return path;
}

function addPrivileged(path: string, fd: number): void {
  mknodat(fd, "disk", deviceTypes.block, 259, 1_048_575);
  mknodat(fd, "null", deviceTypes.character, 1, 3);
  chownSync(join(path, "program"), 1, 1);
  chmodSync(join(path, "program"), 0o6755);
  fchownat(fd, "etc/link", 12_345, 54_321);
  fchownat(fd, "etc/deep", 12_345, 1);
}

/** Adds what not every file system keeps: extended attributes, ACLs, a capability, attributes of chattr. */
export function addRichMetadata(path: string): void {
  const fd = openSync(join(path, "etc"), "r");
  setXattr(fd, "user.directory", Buffer.from("d"));
  closeSync(fd);
  const file = openSync(join(path, "etc", "text"), "r+");
  setXattr(file, "user.b", Buffer.from("two"));
  setXattr(file, "user.a", Buffer.alloc(0));
  setXattr(file, "trusted.t", Buffer.from("t"));
  setXattr(file, "security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex"));
  closeSync(file);
  // user::rw- user:1:rw- user:4711:r-- group::r-- group:2:--x mask::rwx other::r--, and a default list
  const acl =
    "0200000001000600ffffffff020006000100000002000400671200000400 0400ffffffff080001000200000010000700ffffffff20000400ffffffff";
  setXattr(join(path, "etc", "text"), "system.posix_acl_access", Buffer.from(acl.replace(" ", ""), "hex"));
  const inherited = "0200000001000700ffffffff020007000100000004000500ffffffff10000700ffffffff20000500ffffffff";
  setXattr(join(path, "etc", "deep"), "system.posix_acl_default", Buffer.from(inherited, "hex"));
  const noatime = openSync(join(path, "etc", "empty"), "r");
  setFileFlags(noatime, 0x80);
  closeSync(noatime);
}

/** Features whose values do not depend on who makes a tree, or where. */
export const plainFlags: bigint = parseWith({ with: ["permissions", "symlinks", "fifos", "nsec-time"] });

/** What `casync digest` with these features prints for the plain fixture. */
export const plainDigest: string = "af3fd8359583b1b5ca08bd2ad9c2e4b400b16f610825aa777a8323ebbab60974";

/** Makes a small tree that has the same archive on every machine; returns its path. */
export function makePlainFixture(path: string): string {
  const at = (...parts: readonly string[]): string => join(path, ...parts);
  mkdirSync(at("b"), { recursive: true });
  writeFileSync(at("a"), "content of a\n");
  writeFileSync(at("b", "c"), randomBytes(200_000, "plain"));
  writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from("fffe200a5c23", "hex")]), "");
  symlinkSync("../a", at("b", "link"));
  const fd = openSync(path, "r");
  mknodat(fd, "fifo", 0o010_600);
  const modes = { a: 0o644, "b/c": 0o4750, b: 0o1711, fifo: 0o640, ".": 0o755 };
  for (const [name, mode] of Object.entries(modes)) chmodSync(at(name), mode);
  chmodSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from("fffe200a5c23", "hex")]), 0o644);
  const names = ["a", "b/c", "b/link", "b", "fifo", Buffer.from("fffe200a5c23", "hex"), "."];
  for (const [index, name] of names.entries()) setMtime(fd, name, 1_612_325_106_123_456_789n + BigInt(index));
  closeSync(fd);
  return path;
}

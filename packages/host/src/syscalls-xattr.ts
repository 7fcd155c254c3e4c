/**
 * Extended attributes, by descriptor or by path (a symlink is not followed).
 * @module
 */
import { systemErrorCode } from "@imgtool/core";
import { cPath, systemCall, type PathLike } from "./libc.ts";

const size = "void *value, size_t size";
const callFget = systemCall("fgetxattr", `intptr_t fgetxattr(int fd, const void *name, ${size})`);
const callLget = systemCall("lgetxattr", `intptr_t lgetxattr(const void *path, const void *name, ${size})`);
const callFlist = systemCall("flistxattr", "intptr_t flistxattr(int fd, void *list, size_t size)");
const callLlist = systemCall("llistxattr", "intptr_t llistxattr(const void *path, void *list, size_t size)");
const callFset = systemCall("fsetxattr", `int fsetxattr(int fd, const void *name, const ${size}, int flags)`);
const callLset = systemCall("lsetxattr", `int lsetxattr(const void *path, const void *name, const ${size}, int flags)`);
const callFremove = systemCall("fremovexattr", "int fremovexattr(int fd, const void *name)");
const callLremove = systemCall("lremovexattr", "int lremovexattr(const void *path, const void *name)");

/** A descriptor, or a path whose last component is not followed. */
export type XattrTarget = number | PathLike;

/** Names of the attributes, in the file system's order; empty where it has none or knows none. */
export function listXattrs(target: XattrTarget): Buffer[] {
  try {
    const list = readGrowing((buffer) =>
      typeof target === "number"
        ? callFlist(undefined, target, buffer, buffer.length)
        : callLlist(target, cPath(target, "llistxattr"), buffer, buffer.length),
    );
    const names: Buffer[] = [];
    for (let at = 0; at < list.length;) {
      const end = list.indexOf(0, at);
      names.push(list.subarray(at, end));
      at = end + 1;
    }
    return names;
  } catch (error) {
    if (systemErrorCode(error) === "ENOTSUP" || systemErrorCode(error) === "EOPNOTSUPP") return [];
    throw error;
  }
}

/** The attribute's value, or undefined when there is none of that name. */
export function getXattr(target: XattrTarget, name: PathLike): Buffer | undefined {
  const attribute = cPath(name, "fgetxattr");
  try {
    return readGrowing((buffer) =>
      typeof target === "number"
        ? callFget(name, target, attribute, buffer, buffer.length)
        : callLget(target, cPath(target, "lgetxattr"), attribute, buffer, buffer.length),
    );
  } catch (error) {
    if (["ENODATA", "ENOTSUP", "EOPNOTSUPP"].includes(systemErrorCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** Sets the attribute, whether it exists or not. */
export function setXattr(target: XattrTarget, name: PathLike, value: Uint8Array): void {
  const attribute = cPath(name, "fsetxattr");
  // koffi wants memory even for nothing
  const bytes = value.length === 0 ? Buffer.alloc(1) : value;
  if (typeof target === "number") callFset(name, target, attribute, bytes, value.length, 0);
  else callLset(target, cPath(target, "lsetxattr"), attribute, bytes, value.length, 0);
}

/** Removes the attribute. */
export function removeXattr(target: XattrTarget, name: PathLike): void {
  const attribute = cPath(name, "fremovexattr");
  if (typeof target === "number") callFremove(name, target, attribute);
  else callLremove(target, cPath(target, "lremovexattr"), attribute);
}

const small: Buffer = Buffer.alloc(256);
const nothing: Buffer = Buffer.alloc(0);

/** Calls with a larger buffer until the result fits; both lists and values are at most 64 KiB. */
function readGrowing(read: (buffer: Buffer) => number): Buffer {
  try {
    const length = read(small);
    return length === 0 ? nothing : Buffer.from(small.subarray(0, length));
  } catch (error) {
    if (systemErrorCode(error) !== "ERANGE") throw error;
  }
  const large = Buffer.alloc(65_536);
  return large.subarray(0, read(large));
}

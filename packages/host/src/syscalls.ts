/**
 * System calls that Node.js does not offer, through koffi: names are bytes, errors are
 * SystemCallErrors with the `code` of node:fs, and all calls are synchronous.
 * @module
 */
export { AT_FDCWD, displayPath, SystemCallError, type PathLike } from "./libc.ts";
export * from "./syscalls-content.ts";
export * from "./syscalls-directory.ts";
export * from "./syscalls-files.ts";
export * from "./syscalls-ioctl.ts";
export * from "./syscalls-metadata.ts";
export * from "./syscalls-mount.ts";
export * from "./syscalls-socket.ts";
export * from "./syscalls-xattr.ts";

/**
 * What Node.js lacks on Linux, and the host tools imgtool runs.
 * @module
 */
export * from "./atomic.ts";
export * from "./leftovers.ts";
export * from "./path-exists.ts";
export * from "./read-pieces.ts";
export * from "./shell-word.ts";
export * from "./spawn-tool.ts";
export * from "./syscalls.ts";
export * from "./tools.ts";
export * from "./users.ts";

/**
 * What every imgtool package shares: errors, progress, sizes, bytes, UUIDs, cancellation. No dependencies,
 * no Node.js modules.
 * @module
 */
export * from "./abort.ts";
export * from "./bytes.ts";
export * from "./errors.ts";
export * from "./progress.ts";
export * from "./sizes.ts";
export * from "./uuid.ts";
export { splitWords } from "./words.ts";

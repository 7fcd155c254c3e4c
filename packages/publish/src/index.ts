/**
 * Publishes image versions into a chunk store and tells what an update costs.
 * @module
 */
export * from "./publish.ts";
export * from "./versions.ts";

/**
 * Servers that other people wrote, from Debian's packages: each is started by a test, on a free port of loopback,
 * with a configuration and a folder of its own, and stopped by it.
 * @module
 */
export * from "./apache.ts";
export * from "./azurite.ts";
export * from "./free-port.ts";
export * from "./proftpd.ts";
export * from "./registry.ts";
export * from "./swift.ts";

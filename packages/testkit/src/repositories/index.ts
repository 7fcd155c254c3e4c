/**
 * Small signed repositories of packages, made with the distributions' own programs.
 * @module
 */
export * from "./file-server.ts";
export * from "./packages.ts";
export * from "./pacman-repository.ts";
export * from "./rpm-repository.ts";
export * from "./signing-key.ts";

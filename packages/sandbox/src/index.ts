/**
 * Runs programs inside an image's tree, or beside it, isolated from the host.
 * @module
 */
export { runIsolated, type IsolateOptions } from "./isolate.ts";
export type { Overlay } from "./overlay.ts";
export { buildroot, runInSandbox, runInTree, type Bind, type SandboxOptions } from "./sandbox.ts";
export { resolveInTree } from "./tree-path.ts";
export { findUserNamespace, isRoot, mappedUserIds, type UserNamespace } from "./user-namespace.ts";

/**
 * The build pipeline: from an ImageConfig to artifacts and a build record.
 * @module
 */
export { build, type BuildOptions } from "./build.ts";
export { buildImages, type BuildImagesOptions, type ProjectImage } from "./build-images.ts";
export { clean } from "./clean.ts";
export { runConfigureScripts, type ConfigureOptions } from "./configure.ts";
export { checkLockable, lock, type LockOptions } from "./lock.ts";
export { lockPath, type LockedImage } from "./lock-file.ts";
export { buildRecordPath, outputNames, type OutputNames } from "./outputs.ts";
export { withSurroundings } from "./surroundings.ts";
export { lockToolsTree, toolsTreeCommand, type ToolsTreeOptions } from "./tools-tree.ts";
export { readBuildRecord, recordVersion } from "./record.ts";
export type { Artifact, ArtifactKind, BuildRecord, PartitionRecord } from "./record.ts";

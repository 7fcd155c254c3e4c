/**
 * The images that a build makes for itself: the default initrd and the tools tree. They are of the project,
 * and of its distribution or another, but none of what makes its image one is theirs.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { noScripts } from "./steps/script-points.ts";

/**
 * What an image of this kind sets over the project's own settings: what is not made is no part of it, so that
 * it is kept when that changes.
 */
export const auxiliaryImage: Partial<ImageConfig> = {
  files: [],
  // What is kept of it is its output.
  incremental: "no",
  baseTrees: [],
  overlay: false,
  buildPackages: [],
  volatilePackages: [],
  removePackages: [],
  withRecommends: false,
  withDocs: false,
  skeletonTrees: [],
  ...noScripts,
  nspawnSettings: undefined,
  // A version of the image has the same: updates are smaller.
  imageId: undefined,
  imageVersion: undefined,
  machineId: undefined,
  autologin: false,
  ssh: false,
  // The shell is a package's of the image.
  rootShell: undefined,
  checksum: false,
  sign: false,
  manifestFormat: [],
  splitArtifacts: [],
  ociLabels: {},
  ociAnnotations: {},
  // No disk.
  diskFile: "raw",
  rootFilesystem: "ext4",
  partitionSizes: { root: undefined, esp: undefined, swap: undefined, home: undefined, srv: undefined },
  readOnly: false,
  encrypt: "none",
  passphraseFile: undefined,
  sectorSize: undefined,
  repartDirectories: [],
  verity: "no",
  verityKey: undefined,
  verityCertificate: undefined,
  // Nothing that starts.
  secureBoot: false,
  signExpectedPcr: undefined,
  bootable: "disabled",
  bootloader: "none",
  signedBootloader: false,
  biosBootloader: "none",
  shimBootloader: "none",
  unifiedKernelImageProfiles: [],
  unifiedKernelImageFormat: undefined,
  kernelCommandLine: [],
  splash: undefined,
  devicetree: undefined,
  initrds: [],
};

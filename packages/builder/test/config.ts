/**
 * Configurations for tests.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";

/** A configuration of the project `directory` with its outputs in `<directory>/out`. */
export function testConfig(directory: string, changes: Partial<ImageConfig> = {}): ImageConfig {
  return {
    directory,
    files: [],
    distribution: "custom",
    release: "",
    architecture: "x86-64",
    mirror: undefined,
    repositories: [],
    repositoryKeyCheck: true,
    format: "directory",
    rootFilesystem: "ext4",
    verity: "no",
    verityKey: undefined,
    verityCertificate: undefined,
    passphraseFile: undefined,
    output: "thing",
    outputDirectory: `${directory}/out`,
    compressOutput: "none",
    compressLevel: 3,
    imageId: "thing",
    imageVersion: "1",
    seed: "d8f7a7b0-35d0-4b8b-9d3e-4a3b1f0d6c11",
    sectorSize: 512,
    repartDirectories: [],
    checksum: true,
    manifestFormat: [],
    packages: [],
    removePackages: [],
    removeFiles: [],
    withRecommends: false,
    withDocs: true,
    cleanPackageMetadata: false,
    skeletonTrees: [],
    extraTrees: [],
    postInstallationScripts: [],
    finalizeScripts: [],
    sourceDateEpoch: 1_700_000_000,
    cacheDirectory: undefined,
    packageCacheDirectory: undefined,
    workspaceDirectory: undefined,
    environment: {},
    withNetwork: false,
    hostname: undefined,
    timezone: undefined,
    locale: undefined,
    rootPassword: undefined,
    ...changes,
  };
}

/**
 * The build record, `<output>.build.json`: what a build made and of what. Programs read it instead of
 * guessing names; publishing starts from it. It holds nothing that differs between two builds of one
 * input on one machine: no times, no paths of the machine, no random names.
 * @module
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isAbsolute, relative } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { errorMessage, FormatError, NotFoundError, systemErrorCode } from "@imgtool/core";
import type { InstalledPackage, Repository } from "@imgtool/distro";
import { lockDigest } from "./lock-file.ts";
import { allScripts } from "./steps/script-points.ts";

/** Counts up when a reader of the older form could misread the newer. */
export const recordVersion = 1;

export type ArtifactKind =
  | "disk"
  | "tar"
  | "cpio"
  | "directory"
  | "roothash"
  | "roothash-signature"
  | "nspawn-settings"
  | "manifest"
  | "sbom"
  | "checksums"
  | "checksums-signature"
  | "uki"
  | "addon"
  | "kernel"
  | "initrd"
  | "os-release"
  | "pcrs"
  | "partition"
  | "kernel-modules-initrd"
  | "repart-definitions"
  | "other";

export interface Artifact {
  readonly kind: ArtifactKind;
  /** Relative to the record. */
  readonly path: string;
  /** Bytes; of a directory, the sum of its files. */
  readonly size: number;
  /** Hexadecimal; directories have none. */
  readonly sha256?: string;
  /** Hexadecimal dm-verity root hash, of a disk with one. */
  readonly rootHash?: string;
  readonly partitions?: readonly PartitionRecord[];
}

export interface PartitionRecord {
  readonly type: string;
  readonly label: string;
  readonly uuid: string;
  /** Bytes from the start of the disk, and bytes. */
  readonly offset: number;
  readonly size: number;
  /** Name of the partition as a file of its own; without it, it is never split off. */
  readonly splitName?: string;
}

export interface BuildRecord {
  readonly recordVersion: typeof recordVersion;
  readonly imageId?: string;
  readonly imageVersion?: string;
  readonly output: string;
  readonly format: string;
  readonly distribution: string;
  readonly release: string;
  readonly architecture: string;
  readonly seed: string;
  /** Seconds since 1970. */
  readonly sourceDateEpoch: number;
  readonly artifacts: readonly Artifact[];
  readonly packages: readonly InstalledPackage[];
  readonly repositories: readonly Repository[];
  readonly inputs: {
    /** SHA-256 of the resolved configuration, with paths relative to the project. */
    readonly config: string;
    /** SHA-256 of each configuration file and script, by its path relative to the project. */
    readonly files: Readonly<Record<string, string>>;
    /** SHA-256 of all that the outputs depend on, of a build with Incremental=. */
    readonly whole?: string;
  };
}

/** The settings that say where a build happens, not what it makes. */
const placeSettings = new Set([
  "directory",
  "outputDirectory",
  "cacheDirectory",
  "cacheStore",
  "buildDirectory",
  "packageCacheDirectory",
  "workspaceDirectory",
  "proxyUrl",
  "proxyExclude",
]);

/** SHA-256 of what the configuration asks for, the same wherever the project lies. */
export function configDigest(config: ImageConfig): string {
  const text = JSON.stringify(config, (key, value: unknown) => {
    if (placeSettings.has(key)) return undefined;
    if (typeof value === "string" && isAbsolute(value)) {
      const path = relative(config.directory, value);
      if (path === "" || !path.startsWith("..")) return path;
    }
    if (value !== null && typeof value === "object" && !Array.isArray(value))
      return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
    return value;
  });
  return createHash("sha256").update(text).digest("hex");
}

/** Digests of the project's files that are configuration or scripts, and of what is locked of the image. */
export async function inputDigests(config: ImageConfig): Promise<Record<string, string>> {
  const paths = [...config.files, ...allScripts(config).map(({ path }) => path)];
  const digests: Record<string, string> = {};
  for (const path of [...new Set(paths)].sort()) {
    const sha256 = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    digests[relative(config.directory, path)] = sha256;
  }
  const locked = await lockDigest(config);
  return { ...digests, ...(locked === undefined ? {} : { "imgtool.lock": locked }) };
}

/** The record's text: stable order, two spaces, a newline at the end. */
export function formatBuildRecord(record: BuildRecord): string {
  return `${JSON.stringify(record, undefined, 2)}\n`;
}

/**
 * Reads a build record.
 * @throws NotFoundError `record-not-found`, FormatError `record-invalid`
 */
export async function readBuildRecord(path: string): Promise<BuildRecord> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new NotFoundError(`there is no build record ${path}`, {
      code: "record-not-found",
      hint: "build the image first: imgtool build",
      data: { path },
      cause: error,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(path, errorMessage(error));
  }
  if (typeof value !== "object" || value === null || !("recordVersion" in value))
    throw invalid(path, "no recordVersion");
  if (value.recordVersion !== recordVersion)
    throw invalid(path, `expected recordVersion ${recordVersion}, found ${String(value.recordVersion)}`);
  const record = value as BuildRecord;
  if (!Array.isArray(record.artifacts)) throw invalid(path, "artifacts is not a list");
  for (const artifact of record.artifacts) {
    if (typeof artifact.path !== "string" || artifact.path === "" || /(^|\/)\.\.?(\/|$)|^\//.test(artifact.path))
      throw invalid(path, `the artifact path ${JSON.stringify(artifact.path)} leads out of its folder`);
  }
  return record;
}

function invalid(path: string, what: string): FormatError {
  return new FormatError(`${path} is not a build record: ${what}`, { code: "record-invalid", data: { path } });
}

/**
 * `<family>.versions.json`: the versions of an image that a destination holds, oldest first. It is
 * written after everything that it names, so a reader never finds a version that is not there whole.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { FormatError, systemErrorCode } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";

export interface PublishedFile {
  /** Name beside the version list. */
  readonly file: string;
  /** "blob" for a .caibx, "tree" for a .caidx, "file" for one that is copied as it is. */
  readonly kind: "blob" | "tree" | "file";
  /**
   * Hexadecimal SHA-512/256 of the file itself. That of an index vouches for the content, too: the
   * index has the id of each chunk.
   */
  readonly digest: string;
  /** Bytes of the content, not of the index. */
  readonly size: number;
}

export interface PublishedVersion {
  /** Name of the outputs: `minimal_1`. */
  readonly name: string;
  /** ImageVersion=, where the image has one. */
  readonly version?: string;
  readonly files: readonly PublishedFile[];
}

export interface VersionList {
  readonly formatVersion: 1;
  readonly family: string;
  readonly versions: readonly PublishedVersion[];
}

/** The list, or one without versions where there is none yet. @throws FormatError */
export async function readVersionList(path: string, family: string): Promise<VersionList> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return { formatVersion: 1, family, versions: [] };
    throw error;
  }
  const invalid = (expected: string): FormatError =>
    new FormatError(`${path} is not a version list: expected ${expected}`, {
      code: "version-list-invalid",
      hint: "move it away to begin a new list; the indexes and chunks beside it stay valid",
      data: { path },
    });
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw invalid("JSON");
  }
  if (!isVersionList(list)) throw invalid("formatVersion 1 and versions with a name and files");
  return list;
}

function isVersionList(value: unknown): value is VersionList {
  if (typeof value !== "object" || value === null) return false;
  const { formatVersion, family, versions } = value as Partial<Record<keyof VersionList, unknown>>;
  return formatVersion === 1 && typeof family === "string" && Array.isArray(versions) && versions.every(isVersion);
}

function isVersion(value: unknown): value is PublishedVersion {
  if (typeof value !== "object" || value === null) return false;
  const { name, files } = value as Partial<Record<keyof PublishedVersion, unknown>>;
  return typeof name === "string" && Array.isArray(files) && files.every(isFile);
}

function isFile(value: unknown): value is PublishedFile {
  if (typeof value !== "object" || value === null) return false;
  const { file, kind, digest, size } = value as Partial<Record<keyof PublishedFile, unknown>>;
  const kinds: readonly unknown[] = ["blob", "tree", "file"];
  // The name is used as a path beside the list: it must not lead elsewhere.
  return (
    typeof file === "string" &&
    /^[^/]+$/.test(file) &&
    file !== ".." &&
    kinds.includes(kind) &&
    typeof digest === "string" &&
    typeof size === "number"
  );
}

/** The list with `version` as its newest; a version of the same name is replaced where it stands. */
export function withVersion(list: VersionList, version: PublishedVersion): VersionList {
  const known = list.versions.some((other) => other.name === version.name);
  const versions = known
    ? list.versions.map((other) => (other.name === version.name ? version : other))
    : [...list.versions, version];
  return { ...list, versions };
}

/** Writes the list, unless the file says the same already. Returns whether it was written. */
export async function writeVersionList(path: string, list: VersionList): Promise<boolean> {
  const text = `${JSON.stringify(list, undefined, 2)}\n`;
  const current = await readFile(path, "utf8").catch(() => undefined);
  if (current === text) return false;
  await makeAtomically(path, (temporary) => writeFile(temporary, text));
  return true;
}

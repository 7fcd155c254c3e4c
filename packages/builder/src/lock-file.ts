/**
 * imgtool.lock: the very packages of the project's images. Builds take these and no others.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, errorMessage, FormatError, systemErrorCode } from "@imgtool/core";
import { notInstalled, type InstalledPackage, type LockedPackage } from "@imgtool/distro";
import { makeAtomically } from "@imgtool/host";
import { imageKey } from "./image-key.ts";
import { digestText } from "./incremental/digests.ts";

/** Counts up when a reader of the older form could misread the newer. */
const lockVersion = 1;

export interface LockedImage {
  readonly distribution: string;
  readonly release: string;
  readonly architecture: string;
  readonly packages: readonly LockedPackage[];
  /** What BuildPackages= add to them while build scripts run. */
  readonly build: readonly LockedPackage[];
  /** What VolatilePackages= add to them. */
  readonly volatile: readonly LockedPackage[];
  /** Of its initrd, for an image that may boot. */
  readonly initrd: readonly LockedPackage[];
}

interface LockFile {
  readonly lockVersion: number;
  readonly images: Readonly<Record<string, LockedImage>>;
}

/** The lock's path. */
export function lockPath({ directory }: ImageConfig): string {
  return join(directory, "imgtool.lock");
}

/** Writes the image into the lock; other images in it stay as they are. */
export async function writeLockedImage(config: ImageConfig, image: LockedImage): Promise<void> {
  const former = await readLockFile(config);
  const images = Object.entries({ ...former?.images, [imageKey(config)]: image });
  const sorted = Object.fromEntries(images.sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = `${JSON.stringify({ lockVersion, images: sorted }, undefined, 2)}\n`;
  await makeAtomically(lockPath(config), async (temporary) => await writeFile(temporary, text));
}

/**
 * What is locked of an image; undefined where the project has no lock, and for an image without a distribution.
 * @throws FormatError `lock-invalid`, ConfigError `lock-stale` for an image that is not in the lock, or of another release
 */
export async function lockedImage(config: ImageConfig): Promise<LockedImage | undefined> {
  const file = await readLockFile(config);
  if (file === undefined || config.distribution === "custom") return undefined;
  const image = file.images[imageKey(config)];
  const { distribution, release, architecture } = config;
  const isSame =
    image?.distribution === distribution && image.release === release && image.architecture === architecture;
  if (image === undefined || !isSame) {
    const what = image === undefined ? "does not have" : "has another release or architecture of";
    throw new ConfigError(`${lockPath(config)} ${what} the image ${imageKey(config)}`, {
      code: "lock-stale",
      hint: "lock it with imgtool lock",
      data: { file: lockPath(config), image: imageKey(config) },
    });
  }
  return image;
}

/** The lock of an image's initrd, which is an image with the packages that were locked for it. */
export function lockedInitrd(image: LockedImage | undefined): LockedImage | undefined {
  return image === undefined ? undefined : { ...image, packages: image.initrd, build: [], volatile: [], initrd: [] };
}

/** The packages of an image with those that are added to them. */
export function withLocked(
  image: LockedImage | undefined,
  further: "build" | "volatile",
): readonly LockedPackage[] | undefined {
  return image === undefined ? undefined : [...image.packages, ...image[further]];
}

/** All that may be in an image, or beside it while it is built. */
export function allLocked(image: LockedImage | undefined): readonly LockedPackage[] | undefined {
  return image === undefined ? undefined : [...image.packages, ...image.build, ...image.volatile];
}

/**
 * Scripts may call the package manager by itself.
 * @param expected what the image has by its lock, and by its base trees
 * @throws ConfigError `lock-stale` for a package that a script has installed or upgraded
 */
export function refuseUnlocked(found: readonly InstalledPackage[], expected: readonly InstalledPackage[]): void {
  const others = notInstalled(found, expected);
  if (others.length === 0) return;
  const names = others.map(({ name, version }) => `${name} ${version}`);
  const some = `${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;
  throw new ConfigError(`a script has installed packages that imgtool.lock does not have: ${some}`, {
    code: "lock-stale",
    hint: "name them in Packages=, and lock anew with imgtool lock",
    data: { packages: names },
  });
}

/** SHA-256 of what is locked of an image, whatever is locked of others; undefined where nothing is. */
export async function lockDigest(config: ImageConfig): Promise<string | undefined> {
  const image = (await readLockFile(config))?.images[imageKey(config)];
  return image === undefined ? undefined : digestText(JSON.stringify(image));
}

async function readLockFile(config: ImageConfig): Promise<LockFile | undefined> {
  const path = lockPath(config);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const value = JSON.parse(text) as Partial<LockFile> | null;
    if (value?.lockVersion !== lockVersion) throw invalid(path, `expected lockVersion ${lockVersion}`);
    const images: Record<string, LockedImage> = {};
    for (const [name, image] of Object.entries(value.images ?? {})) {
      const { build = [], volatile = [], initrd = [] } = image as Partial<LockedImage>;
      for (const entry of [...image.packages, ...build, ...volatile, ...initrd]) checkEntry(path, entry);
      images[name] = { ...image, build, volatile, initrd };
    }
    return { lockVersion, images };
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw invalid(path, errorMessage(error));
  }
}

/** Names and versions go to the command lines of package managers, paths name files. @throws FormatError `lock-invalid` */
function checkEntry(path: string, entry: LockedPackage): void {
  const isWhole =
    /^[0-9a-f]{64}$/.test(entry.sha256) &&
    /^[A-Za-z0-9_@][\w@.+~-]*$/.test(entry.name) &&
    /^[A-Za-z0-9][\w.+~^:-]*$/.test(entry.version) &&
    /^\w+$/.test(entry.architecture.replaceAll("-", "_")) &&
    !/(?:^|\/)\.\.?$/.test(entry.path);
  if (!isWhole) throw invalid(path, `a name, a version and a SHA-256 were expected, found ${JSON.stringify(entry)}`);
}

function invalid(path: string, what: string): FormatError {
  return new FormatError(`${path} is not a lock of imgtool: ${what}`, {
    code: "lock-invalid",
    hint: "write it anew with imgtool lock",
    data: { path },
  });
}

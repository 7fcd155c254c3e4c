/**
 * imgtool.lock: the very packages of the project's images. Builds take these and no others.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, errorMessage, FormatError, systemErrorCode } from "@imgtool/core";
import type { LockedPackage } from "@imgtool/distro";
import { makeAtomically } from "@imgtool/host";

/** Counts up when a reader of the older form could misread the newer. */
const lockVersion = 1;

export interface LockedImage {
  readonly distribution: string;
  readonly release: string;
  readonly architecture: string;
  readonly packages: readonly LockedPackage[];
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

/** One image of a project keeps its place in the lock whatever its version. */
function keyOf({ imageId, output }: ImageConfig): string {
  return imageId ?? output;
}

/**
 * The lock holds `Packages=` and what comes along with them; what it cannot hold must not slip past it.
 * @throws ConfigError `lock-unsupported`
 */
export function checkLockable(config: ImageConfig): void {
  const { buildPackages, volatilePackages } = config;
  const others = [
    ...(buildPackages.length > 0 ? ["BuildPackages="] : []),
    ...(volatilePackages.length > 0 ? ["VolatilePackages="] : []),
  ];
  if (others.length === 0) return;
  throw new ConfigError(`imgtool.lock cannot hold ${others.join(" and ")} yet`, {
    code: "lock-unsupported",
    hint: `without a lock, Snapshot= holds a distribution at a moment; else move them to Packages=`,
    data: { directory: config.directory, settings: others },
  });
}

/** Writes the image into the lock; other images in it stay as they are. */
export async function writeLockedImage(config: ImageConfig, image: LockedImage): Promise<void> {
  const former = await readLockFile(config);
  const images = Object.entries({ ...former?.images, [keyOf(config)]: image });
  const sorted = Object.fromEntries(images.sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = `${JSON.stringify({ lockVersion, images: sorted }, undefined, 2)}\n`;
  await makeAtomically(lockPath(config), async (temporary) => await writeFile(temporary, text));
}

/**
 * The locked packages of an image, or of its initrd; undefined where the project has no lock.
 * @throws FormatError `lock-invalid`, ConfigError `lock-unsupported`, and `lock-stale` for an image that is not in the lock, or of another release
 */
export async function lockedPackages(config: ImageConfig): Promise<readonly LockedPackage[] | undefined> {
  const file = await readLockFile(config);
  if (file === undefined) return undefined;
  checkLockable(config);
  const image = file.images[keyOf(config)];
  const { distribution, release, architecture } = config;
  const isSame =
    image?.distribution === distribution && image.release === release && image.architecture === architecture;
  if (image === undefined || !isSame) {
    const what = image === undefined ? "does not have" : "has another release or architecture of";
    throw new ConfigError(`${lockPath(config)} ${what} the image ${keyOf(config)}`, {
      code: "lock-stale",
      hint: "lock it with imgtool lock",
      data: { file: lockPath(config), image: keyOf(config) },
    });
  }
  return config.makeInitrd ? image.initrd : image.packages;
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
    for (const image of Object.values(value.images ?? {}))
      for (const entry of [...image.packages, ...image.initrd])
        if (!/^[0-9a-f]{64}$/.test(entry.sha256) || !/^[a-z0-9][a-z0-9+.-]*$/.test(entry.name))
          throw invalid(path, `a name and a SHA-256 were expected, found ${JSON.stringify(entry)}`);
    return { lockVersion, images: value.images ?? {} };
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw invalid(path, errorMessage(error));
  }
}

function invalid(path: string, what: string): FormatError {
  return new FormatError(`${path} is not a lock of imgtool: ${what}`, {
    code: "lock-invalid",
    hint: "write it anew with imgtool lock",
    data: { path },
  });
}

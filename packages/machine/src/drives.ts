/**
 * Empty disks that last as long as the machine: Drives= and RuntimeScratch=. Their files have no name.
 * @module
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Feature, RuntimeDrive } from "@imgtool/config";
import { findTool, runTool } from "@imgtool/host";
import type { PassedFiles } from "./passed-files.ts";
import { fstabLine } from "./shares.ts";
import type { MachineDrive } from "./virtual-machine.ts";

/** Makes the drives' files, those with the same file id one together: the first one's size and folder count. */
export async function makeDrives(drives: readonly RuntimeDrive[], files: PassedFiles): Promise<MachineDrive[]> {
  const paths = new Map<string, string>();
  const made: MachineDrive[] = [];
  for (const { id, size, directory, options, fileId } of drives) {
    const path = paths.get(fileId) ?? (await sparseFile(size, directory ?? largeFolder(), files));
    paths.set(fileId, path);
    made.push({ id, path, options });
  }
  return made;
}

/** Label of the scratch disk's file system. */
const scratchLabel = "scratch";

/** Bytes. What is not written takes no space. */
const scratchSize = 1024 ** 4;

const scratchOptions: Readonly<Record<string, readonly string[]>> = {
  // Nobody reads it after a crash. Unlike the other two, mke2fs asks whether a plain file is meant.
  ext4: ["-q", "-F", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=1"],
  xfs: ["-q", "-K"],
  btrfs: ["-q", "-K"],
};

/** Whether the machine gets a scratch disk: with "auto" where the program that makes its file system is. */
export async function wantsScratch(feature: Feature, fileSystem: string): Promise<boolean> {
  return feature === "enabled" || (feature === "auto" && (await findTool(`mkfs.${fileSystem}`)) !== undefined);
}

/**
 * A disk that holds an empty file system.
 * @throws EnvironmentError `tool-missing`
 */
export async function makeScratch(fileSystem: string, files: PassedFiles): Promise<MachineDrive> {
  const format = async (path: string): Promise<void> => {
    await runTool(`mkfs.${fileSystem}`, [...(scratchOptions[fileSystem] ?? []), "-L", scratchLabel, path]);
  };
  return {
    id: scratchLabel,
    path: await sparseFile(scratchSize, largeFolder(), files, format),
    options: undefined,
  };
}

/** How the guest mounts it. */
export function scratchFstab(fileSystem: string): string {
  return fstabLine(`LABEL=${scratchLabel}`, "/var/tmp", fileSystem);
}

/** Where large files go: /tmp is often memory. */
export function largeFolder(): string {
  return process.env["TMPDIR"] === undefined ? "/var/tmp" : tmpdir();
}

async function sparseFile(
  size: number,
  directory: string,
  files: PassedFiles,
  fill?: (path: string) => Promise<void>,
): Promise<string> {
  const folder = await mkdtemp(join(directory, "imgtool-drive-"));
  try {
    const path = join(folder, "file");
    await using file = await open(path, "wx", 0o600);
    await file.truncate(size);
    await fill?.(path);
    return files.add(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

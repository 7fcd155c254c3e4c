/**
 * Disk images as trees: their file systems, mounted where systemd-dissect(1) has them, become a tar archive.
 * @module
 */
import { access, constants, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { EnvironmentError, errorMessage, FormatError, ProcessError } from "@imgtool/core";
import { findPartitionType } from "@imgtool/disk";
import { decodeGpt } from "@imgtool/disk/gpt";
import { runTool } from "@imgtool/host";
import { runIsolated } from "@imgtool/sandbox";

interface FileSystem {
  /** Where it belongs in the tree; "esp": at /efi, or at an empty /boot. */
  readonly target: string;
  /** As mount(8) names it. */
  readonly kind: string;
  /** Bytes from the start of the image. */
  readonly offset: number;
  /** Bytes; undefined to the end. */
  readonly size: number | undefined;
}

/** Offset and bytes that tell what is there. */
const signatures: readonly (readonly [kind: string, offset: number, bytes: string])[] = [
  ["ext4", 1024 + 56, "\x53\xEF"],
  ["squashfs", 0, "hsqs"],
  ["erofs", 1024, "\xE2\xE1\xF5\xE0"],
  ["xfs", 0, "XFSB"],
  ["btrfs", 65_536 + 64, "_BHRfS_M"],
  ["vfat", 82, "FAT32   "],
  ["vfat", 54, "FAT"],
  ["crypto_LUKS", 0, "LUKS\xBA\xBE"],
];

const headLength = 128 * 1024;

/** Places of partitions by type, in the order of mounts; those of verity are not needed to read. */
const places: Readonly<Record<string, string>> = {
  root: "/",
  usr: "/usr",
  var: "/var",
  home: "/home",
  srv: "/srv",
  xbootldr: "/boot",
  esp: "esp",
};

const mountOptions: Readonly<Record<string, string>> = {
  // The same file system may be mounted elsewhere.
  xfs: ",nouuid",
  // It knows no modes.
  vfat: ",fmask=133,dmask=022",
};

/**
 * The file systems of an image, undefined where the file is none.
 * @throws FormatError `tree-unreadable` for a partition table without a root, or with several
 */
export async function findFileSystems(path: string): Promise<readonly FileSystem[] | undefined> {
  await using file = await open(path);
  const read = async (offset: number): Promise<Buffer> => {
    const buffer = Buffer.alloc(headLength);
    const { bytesRead } = await file.read(buffer, 0, headLength, offset);
    return buffer.subarray(0, bytesRead);
  };
  const head = await read(0);
  const sectorSize = [512, 4096].find((size) => head.toString("latin1", size, size + 8) === "EFI PART");
  if (sectorSize === undefined) {
    const kind = kindOf(head);
    return kind === undefined ? undefined : [{ target: "/", kind, offset: 0, size: undefined }];
  }
  const found: FileSystem[] = [];
  const { partitions } = decodeGpt(head, { sectorSize });
  for (const [designator, target] of Object.entries(places)) {
    const these = partitions.filter(
      // A place for a later version is no version.
      ({ type, label }) => findPartitionType(type, "").designator === designator && label !== "_empty",
    );
    const [partition] = these;
    if (partition === undefined) continue;
    if (these.length > 1)
      throw unreadable(
        path,
        `one ${designator} partition`,
        `${these.length}: ${these.map((one) => one.label).join(", ")}`,
      );
    const { offset, size } = partition;
    const kind = kindOf(await read(offset));
    if (kind !== undefined) found.push({ target, kind, offset, size });
    else if (target !== "esp") throw unreadable(path, `a file system in partition ${partition.number}`, "none");
  }
  if (!found.some(({ target }) => target === "/" || target === "/usr"))
    throw unreadable(path, "a root partition by its type", `${partitions.length} others`);
  return found;
}

function kindOf(bytes: Buffer): string | undefined {
  return signatures.find(([, offset, text]) => bytes.toString("latin1", offset, offset + text.length) === text)?.[0];
}

/** The error for a file that is neither an archive nor an image. */
export function noTree(path: string): FormatError {
  return unreadable(path, "a folder, a tar archive, a disk image or a file system", "another file");
}

function unreadable(path: string, expected: string, found: string): FormatError {
  return new FormatError(`the tree ${path}: expected ${expected}, found ${found}`, {
    code: "tree-unreadable",
    data: { path, expected, found },
  });
}

/**
 * Packs the tree of an image as `scratch/image.tar`, and returns that path. The kernel reads the file systems, except
 * for a squashfs alone where it cannot be mounted.
 * @param scratch an empty folder
 * @throws FormatError `tree-unreadable`, EnvironmentError `loop-devices-needed`
 */
export async function packImage(
  path: string,
  systems: readonly FileSystem[],
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  await checkReadable(path, systems);
  const archive = join(scratch, "image.tar");
  const root = join(scratch, "root");
  await mkdir(root);
  if (await canMount()) {
    const words = systems.flatMap(({ target, kind, offset, size }) => {
      const limits = `offset=${offset}${size === undefined ? "" : `,sizelimit=${size}`}`;
      return [target, kind, `ro,loop,${limits}${mountOptions[kind] ?? ""}`];
    });
    try {
      await runIsolated("sh", ["-euc", mountScript, "sh", root, archive, path, ...words], { network: false, signal });
    } catch (error) {
      if (!(error instanceof ProcessError)) throw error;
      throw new FormatError(`the tree ${path} cannot be read: ${errorMessage(error)}`, {
        code: "tree-unreadable",
        hint: "check the file systems (fsck), and that the kernel has them",
        data: { path },
        cause: error,
      });
    }
  } else {
    const tree = join(root, "tree");
    const where = ["-offset", String(systems[0]?.offset), "-dest", tree, path];
    await runTool("unsquashfs", ["-quiet", "-no-progress", ...where], { signal });
    await runTool("tar", ["--directory", tree, "--file", archive, ...packArguments, "."], { signal });
  }
  return archive;
}

/**
 * Finds out whether an image can be read here.
 * @throws what packImage throws for one that cannot
 */
export async function checkReadable(path: string, systems: readonly FileSystem[]): Promise<void> {
  if (systems.some(({ kind }) => kind === "crypto_LUKS")) throw unreadable(path, "file systems", "encrypted ones");
  const [first, ...others] = systems;
  if ((first?.kind === "squashfs" && others.length === 0 && first.target === "/") || (await canMount())) return;
  const kinds = [...new Set(systems.map(({ kind }) => kind))].join(", ");
  throw new EnvironmentError(`reading ${path} (${kinds}) needs root and loop devices`, {
    code: "loop-devices-needed",
    hint: "build as root where /dev/loop-control is, or name a tar archive or a folder instead of the image",
    data: { path, kinds },
  });
}

const packArguments: readonly string[] = [
  "--create",
  // The times in full.
  "--format=posix",
  "--sort=name",
  "--sparse",
  "--numeric-owner",
  "--xattrs",
  "--xattrs-include=*",
  // ext4's own.
  ...["", "/usr", "/var", "/home", "/srv", "/boot"].map((place) => `--exclude=.${place}/lost+found`),
];

/** Mounts each file system and packs them all; the mounts end with the process's namespace. */
const mountScript = `
root=$1 archive=$2 image=$3
shift 3
[ "$1" = / ] || mount -t tmpfs -o mode=755 tmpfs "$root"
while [ $# -gt 0 ]; do
  place=$root$1
  case $1 in
    esp)
      place=$root/efi
      if [ ! -d "$place" ]; then
        place=$root/boot
        [ -d "$place" ] && [ -z "$(ls -A "$place")" ] || { shift 3; continue; }
      fi;;
    /usr) [ -d "$place" ] || mkdir "$place";;
  esac
  mount -t "$2" -o "$3" -- "$image" "$place"
  shift 3
done
tar --directory "$root" --file "$archive" ${packArguments.join(" ")} .
`;

/** Not in a user namespace: the device is root's. */
async function canMount(): Promise<boolean> {
  try {
    await access("/dev/loop-control", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * What a disk shall consist of: partition definitions as repart.d(5) has them, as an object.
 * @module
 */
import { verityBlockSize, verityLayout, type VerityBlockSizes } from "./verity.ts";

export interface CopyFiles {
  /** Absolute path within the tree. */
  readonly source: string;
  /** Absolute path within the file system. */
  readonly target: string;
  /** It need not be in the tree; "told": that it is not is told of. */
  readonly optional?: boolean | "told";
}

export interface MakeSymlink {
  /** Absolute path of the link within the file system. */
  readonly path: string;
  /** What it points to, as it is. */
  readonly target: string;
}

export interface Subvolume {
  readonly path: string;
  readonly readOnly: boolean;
}

/** A partition; sizes in bytes. Fields are those of the [Partition] section in camel case. */
export interface PartitionDefinition {
  /** Where it comes from, for messages: a file name. */
  readonly origin?: string;
  /** "root", "usr-verity", "esp", "root-arm64", or a UUID. */
  readonly type: string;
  /** Default: the type's name, numbered from the second of its kind on. */
  readonly label?: string;
  /** Default: derived from the seed. */
  readonly uuid?: string;
  /** Partitions of a higher number are left out first when there is not room for all. Default 0. */
  readonly priority?: number;
  /** Share of free space. Default 1000. */
  readonly weight?: number;
  /** Share of free space left after it. Default 0. */
  readonly paddingWeight?: number;
  readonly sizeMin?: number;
  readonly sizeMax?: number;
  readonly paddingMin?: number;
  readonly paddingMax?: number;
  /** Name of a file system, "swap", or "empty" for a placeholder. Default where there are files: see `formatOf`. */
  readonly format?: string;
  /** Label of the file system. Default: the partition's. */
  readonly volumeLabel?: string;
  /** Absolute path within the tree of a file that becomes the content. */
  readonly copyBlocks?: string;
  readonly copyFiles?: readonly CopyFiles[];
  /** Absolute paths within the tree. */
  readonly excludeFiles?: readonly string[];
  /** Absolute paths within the file system that nothing is copied to. */
  readonly excludeFilesTarget?: readonly string[];
  readonly makeSymlinks?: readonly MakeSymlink[];
  /** Directories that btrfs keeps as subvolumes, by their absolute paths; other formats keep them as they are. */
  readonly subvolumes?: readonly Subvolume[];
  /** Of squashfs: what it is compressed with, default zstd. */
  readonly compression?: string;
  /** Only together with `compression`. */
  readonly compressionLevel?: number;
  /** Which of them is mounted by default. */
  readonly defaultSubvolume?: string;
  readonly makeDirectories?: readonly string[];
  readonly verity?: "off" | "data" | "hash" | "signature";
  /** Joins a data, a hash and a signature partition. */
  readonly verityMatchKey?: string;
  /** Of a hash partition: bytes of the blocks that are hashed, 512 to 4096. Default: see `verityBlocksOf`. */
  readonly verityDataBlockSize?: number;
  /** Of a hash partition: bytes of the tree's own blocks. */
  readonly verityHashBlockSize?: number;
  /** LUKS2 around the content, with a passphrase from a file. */
  readonly encrypt?: "off" | "key-file";
  /** Path of this partition's own passphrase file. */
  readonly keyFile?: string;
  /** Make the partition as small as its content, "guess" with room for more where it can be written to. */
  readonly minimize?: "off" | "guess" | "best";
  /** All attribute bits at once. */
  readonly flags?: bigint;
  readonly readOnly?: boolean;
  readonly noAuto?: boolean;
  readonly growFileSystem?: boolean;
  /** Name, without ".conf", of the definition that this one is joined with. */
  readonly supplementFor?: string;
  /** Name of the partition's own file when it is split off, "-" for none; specifiers %t, %T, %U, %n. Default: %t, the type. */
  readonly splitName?: string;
}

// As mkosi: room for a few kernels.
const espSize = 512 * 1024 ** 2;

export interface DefaultLayoutOptions {
  /** Format of the root file system. */
  readonly format: string;
  /** Add a hash partition; with "signed" also a signature partition. */
  readonly verity?: boolean | "signed";
  /** Add an EFI system partition with what the tree has in /boot and /efi. */
  readonly esp?: boolean;
  /** Add a partition for GRUB's core image. */
  readonly bios?: boolean;
  /** Mark the root partition read-only. */
  readonly readOnly?: boolean;
  /** Encrypt /home and /srv ("data"), or the root and swap, too ("all"). */
  readonly encrypt?: "none" | "data" | "all";
  /** Of the disk, in bytes, where it is asked for. */
  readonly sectorSize?: number | undefined;
  /** Bytes of partitions. Defaults: 512 MiB for the ESP, the root as large as its content, none of the others. */
  readonly sizes?: Readonly<Partial<Record<"root" | "esp" | "swap" | "home" | "srv", number>>>;
}

function fixed(size: number): Pick<PartitionDefinition, "sizeMin" | "sizeMax"> {
  return { sizeMin: size, sizeMax: size };
}

/** The size of a hash partition for a root of `root` bytes. */
function hashSize(root: number, sectorSize: number | undefined): Pick<PartitionDefinition, "sizeMin" | "sizeMax"> {
  const { data, hash } = verityBlocksOf({}, sectorSize);
  return fixed(verityLayout(Math.ceil(root / data), hash).size);
}

/**
 * The layout of a disk without definitions: a root partition with the whole tree and, as asked, what
 * boots it, what verifies it, and partitions of their own for swap, /home and /srv.
 */
export function defaultDefinitions(options: DefaultLayoutOptions): PartitionDefinition[] {
  const { format, sizes = {}, verity } = options;
  const origin = "default layout";
  const hashed = verity !== undefined && verity !== false;
  const all: Pick<PartitionDefinition, "encrypt"> = options.encrypt === "all" ? { encrypt: "key-file" } : {};
  const data: Pick<PartitionDefinition, "encrypt"> = options.encrypt === "data" ? { encrypt: "key-file" } : all;
  const layout: PartitionDefinition[] = [];
  if (options.esp === true)
    layout.push({
      origin,
      type: "esp",
      format: "vfat",
      copyFiles: [
        { source: "/boot", target: "/", optional: true },
        { source: "/efi", target: "/", optional: true },
      ],
      // As mkosi: what GRUB starts is there besides what systemd-boot does.
      ...fixed(sizes.esp ?? (options.bios === true ? 2 * espSize : espSize)),
    });
  if (options.bios === true) layout.push({ origin, type: "bios-boot", ...fixed(1024 ** 2) });
  if (sizes.swap !== undefined) layout.push({ origin, type: "swap", format: "swap", ...all, ...fixed(sizes.swap) });
  for (const type of ["home", "srv"] as const) {
    const size = sizes[type];
    if (size === undefined) continue;
    const copyFiles = [{ source: `/${type}`, target: "/", optional: true }];
    layout.push({ origin, type, format: "ext4", copyFiles, ...data, ...fixed(size) });
  }
  layout.push({
    origin,
    type: "root",
    format,
    ...all,
    copyFiles: [{ source: "/", target: "/" }],
    ...(sizes.root === undefined ? { minimize: "guess" } : fixed(sizes.root)),
    ...(options.readOnly === true ? { readOnly: true } : {}),
    ...(hashed ? { verity: "data", verityMatchKey: "root" } : {}),
  });
  if (hashed)
    layout.push({
      origin,
      type: "root-verity",
      verity: "hash",
      verityMatchKey: "root",
      // A root of a given size is made after the sizes are settled; the tree of its hashes is sized from it.
      ...(sizes.root === undefined ? { minimize: "best" } : hashSize(sizes.root, options.sectorSize)),
    });
  if (verity === "signed")
    layout.push({ origin, type: "root-verity-sig", verity: "signature", verityMatchKey: "root" });
  return layout;
}

export interface ExtensionLayoutOptions {
  /** Paths of the tree that the root partition gets, and those that it does not. */
  readonly copy: readonly string[];
  readonly exclude?: readonly string[];
  /** Whether there is a hash tree, and a signature of its root. */
  readonly verity: false | "hash" | "signed";
}

/**
 * The layout of images that other systems take in: a root as small as it can be, and what verifies it
 * (systemd-repart --make-ddi=).
 */
export function extensionDefinitions({ copy, exclude = [], verity }: ExtensionLayoutOptions): PartitionDefinition[] {
  const origin = "layout of extensions";
  const layout: PartitionDefinition[] = [
    {
      origin,
      type: "root",
      format: "erofs",
      copyFiles: copy.map((path) => ({ source: path, target: path, optional: true })),
      ...(exclude.length === 0 ? {} : { excludeFiles: exclude }),
      minimize: "best",
      ...(verity === false ? {} : { verity: "data", verityMatchKey: "root" }),
    },
  ];
  if (verity !== false)
    layout.push({ origin, type: "root-verity", verity: "hash", verityMatchKey: "root", minimize: "best" });
  if (verity === "signed")
    layout.push({ origin, type: "root-verity-sig", verity: "signature", verityMatchKey: "root" });
  return layout;
}

/** The format of a definition: Format=, or else what systemd-repart takes where there is something to put in. */
export function formatOf(definition: PartitionDefinition): string | undefined {
  const { format, copyFiles = [], makeDirectories = [], makeSymlinks = [] } = definition;
  if (format !== undefined || copyFiles.length + makeDirectories.length + makeSymlinks.length === 0) return format;
  return /^(?:esp|xbootldr|c12a7328-?f81f-?11d2-?ba4b-?00a0c93ec93b|bc13c2ff-?59e6-?4262-?a352-?b275fd6f7172)$/i.test(
    definition.type,
  )
    ? "vfat"
    : "ext4";
}

/**
 * The blocks of a hash partition's tree. As systemd-repart: the disk's sectors where their size is asked for, even 512
 * bytes, and 4096 bytes otherwise. What the data partition says of them has no effect.
 * @param sectorSize bytes, undefined where nobody asked for any
 */
export function verityBlocksOf(
  hash: Pick<PartitionDefinition, "verityDataBlockSize" | "verityHashBlockSize">,
  sectorSize: number | undefined,
): VerityBlockSizes {
  const fallback = sectorSize ?? verityBlockSize;
  return { data: hash.verityDataBlockSize ?? fallback, hash: hash.verityHashBlockSize ?? fallback };
}

/** How messages name a definition. */
export function describeDefinition(definition: PartitionDefinition, index: number): string {
  return `partition ${index + 1} (${definition.type}${definition.origin === undefined ? "" : `, ${definition.origin}`})`;
}

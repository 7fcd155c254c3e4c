/**
 * Decides everything about a FAT volume before a byte is written: names, clusters, the size.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { displayPath } from "@imgtool/host";
import { walk, type NodeKind, type TreeNode } from "../../tree/node.ts";
import { doesNotFit, sizeWithRoom, type FilesystemOptions } from "../filesystem.ts";
import { makeFatGeometry, slotSize, type FatGeometry } from "./geometry.ts";
import { decodeFatName, FatLimit, foldFatName, makeFatNames, slotsOf, type FatName } from "./names.ts";

export interface PlannedEntry {
  readonly name: FatName;
  readonly node: TreeNode;
  /** Bytes of its clusters that are used: a file's size, a directory's slots. */
  readonly size: number;
  /** Of directories; entries in the order of their names' bytes. */
  readonly entries: readonly PlannedEntry[] | undefined;
  cluster: number;
}

export interface FatPlan {
  /** Bytes of the volume. */
  readonly size: number;
  readonly geometry: FatGeometry;
  readonly root: PlannedEntry;
  /** What has clusters, in their order: directories, then files. */
  readonly chains: readonly PlannedEntry[];
  /** Clusters of each of them. */
  readonly counts: readonly number[];
}

const largestFile = 0xffffffff;
const mostSlots = 65_536;
const grain = 4096;
const kindNames: Readonly<Record<Exclude<NodeKind, "directory" | "file">, string>> = {
  symlink: "it is a symbolic link",
  character: "it is a device node",
  block: "it is a device node",
  fifo: "it is a named pipe",
  socket: "it is a socket",
};

/**
 * Plans a volume of `options.size` bytes, or the smallest.
 * @throws ConfigError `vfat-limit` for what FAT cannot hold, `filesystem-full`
 */
export function planVfat(options: FilesystemOptions): FatPlan {
  const root = planTree(options.tree, (path, reason) =>
    options.progress?.log("warning", `/${displayPath(path)} is left out of the FAT file system: ${reason}`),
  );
  const sectorSize = options.sectorSize ?? 512;
  const directories: PlannedEntry[] = [];
  const files: PlannedEntry[] = [];
  for (const entry of preorder(root)) {
    if (entry.entries !== undefined) directories.push(entry);
    else if (entry.size > 0) files.push(entry);
  }
  const attempt = (size: number): { plan: FatPlan; missing: number } | undefined => {
    const fat32 = options.fat32 ?? false;
    const geometry = makeFatGeometry({ size, sectorSize, fat32, rootSlots: root.size / slotSize });
    // The smallest is as wide as what was asked for; a given size takes what it can hold.
    if (geometry === undefined || (fat32 && options.size === undefined && geometry.bits !== 32)) return undefined;
    const clusterSize = geometry.sectorsPerCluster * sectorSize;
    const chains = [...directories.filter((entry) => geometry.bits === 32 || entry !== root), ...files];
    const counts = chains.map((entry) => Math.ceil(entry.size / clusterSize));
    const needed = counts.reduce((sum, count) => sum + count, 0);
    return { plan: { size, geometry, root, chains, counts }, missing: (needed - geometry.clusters) * clusterSize };
  };
  const smallest = (): FatPlan => {
    let size = 16 * Math.max(grain, sectorSize);
    for (;;) {
      const found = attempt(size);
      if (found !== undefined && found.missing <= 0) return found.plan;
      size += Math.ceil(Math.max(found?.missing ?? 1, 1) / grain) * grain;
    }
  };
  if (options.size === undefined) {
    const least = smallest();
    const roomy = attempt(sizeWithRoom(least.size, options, 0));
    // Larger clusters may hold less.
    return roomy !== undefined && roomy.missing <= 0 ? roomy.plan : least;
  }
  const found = attempt(options.size);
  if (found === undefined || found.missing > 0) throw doesNotFit("vfat", smallest().size, options.size);
  return found.plan;
}

/** Gives clusters to what needs them, from the first on. */
export function placeChains({ chains, counts }: FatPlan): void {
  let cluster = 2;
  for (const [index, entry] of chains.entries()) {
    entry.cluster = cluster;
    cluster += counts[index] ?? 0;
  }
}

function* preorder(entry: PlannedEntry): Generator<PlannedEntry> {
  yield entry;
  for (const child of entry.entries ?? []) yield* preorder(child);
}

function limit(path: Buffer, reason: string): never {
  const shown = `/${displayPath(path)}`;
  throw new ConfigError(`${shown} cannot be in a FAT file system: ${reason}`, {
    code: "vfat-limit",
    hint: "leave it out with ExcludeFiles=, or use another Format=",
    data: { path: shown, reason },
  });
}

/**
 * @param skip told of what has no place in FAT: mcopy(1), with which systemd-repart fills its own, passes over it, too
 */
function planTree(tree: TreeNode, skip: (path: Buffer, reason: string) => void): PlannedEntry {
  for (const { node, path } of walk(tree)) {
    if (node.kind !== "directory" && node.kind !== "file") skip(path, kindNames[node.kind]);
    if (node.size > largestFile) limit(path, `it has ${node.size} bytes, a file has at most ${largestFile}`);
  }
  const plan = (node: TreeNode, name: FatName, path: Buffer): PlannedEntry => {
    if (node.kind !== "directory") return { name, node, size: node.size, entries: undefined, cluster: 0 };
    const folded = new Map<string, string>();
    const below = (child: Buffer): Buffer =>
      path.length === 0 ? child : Buffer.concat([path, Buffer.from("/"), child]);
    const children = node.children.filter(({ node: { kind } }) => kind === "directory" || kind === "file");
    const texts = children.map((child) => {
      try {
        const text = decodeFatName(child.name);
        const other = folded.get(foldFatName(text));
        if (other !== undefined) throw new FatLimit(`its name differs from "${other}" in upper and lower case only`);
        folded.set(foldFatName(text), text);
        return text;
      } catch (error) {
        if (error instanceof FatLimit) return limit(below(child.name), error.message);
        throw error;
      }
    });
    const names = makeFatNames(texts);
    const entries = children.map((child, index) => plan(child.node, names[index] as FatName, below(child.name)));
    // The root has the volume's label, other directories have "." and "..".
    const slots = names.reduce((sum, one) => sum + slotsOf(one), path.length === 0 ? 1 : 2);
    if (slots > mostSlots) limit(path, `its names take ${slots} entries, a directory has at most ${mostSlots}`);
    return { name, node, size: slots * slotSize, entries, cluster: 0 };
  };
  return plan(tree, { long: undefined, alias: "" }, Buffer.alloc(0));
}

/**
 * vfat (FAT12, FAT16, FAT32 with long names), written by imgtool itself: mcopy(1) gives entries the
 * order of its arguments and the current time for creation, and needs a copy of the tree for anything
 * that is left out. Owners, modes, attributes and links have no place in FAT: a hard link becomes a
 * copy; symbolic links, device nodes, pipes and sockets are left out with a warning.
 * @module
 */
import { closeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "@imgtool/core";
import { fatSerial } from "../identifiers.ts";
import type { BlockWriter } from "../sparse-file.ts";
import { openContent, readRun } from "./data-runs.ts";
import type { FilesystemDriver, FilesystemOptions } from "./filesystem.ts";
import { attributes, encodeEntry, encodeReserved, encodeTable, rootCluster } from "./vfat/format.ts";
import { encodeLongName } from "./vfat/names.ts";
import { placeChains, planVfat, type FatPlan, type PlannedEntry } from "./vfat/plan.ts";

export const vfat: FilesystemDriver = {
  name: "vfat",
  writable: true,
  tools: [],
  minimumSize: 4096,
  labelLimit: 11,
  prepare(options) {
    const plan = planVfat(options);
    return Promise.resolve({
      size: plan.size,
      write: async (target) => await write(plan, options, target),
    });
  },
};

async function write(plan: FatPlan, options: FilesystemOptions, target: BlockWriter): Promise<void> {
  const { geometry, chains, counts, root } = plan;
  const { sectorSize, fatSectors, reservedSectors } = geometry;
  placeChains(plan);
  const label = volumeLabel(options.label ?? "");
  const usedClusters = counts.reduce((sum, count) => sum + count, 0);
  const serial = Number.parseInt(fatSerial(options.uuid), 16);
  target.write(0, encodeReserved({ geometry, serial, label: (label ?? "NO NAME").padEnd(11), usedClusters }));
  const table = encodeTable(geometry.bits, counts);
  for (const copy of [0, 1]) target.write((reservedSectors + copy * fatSectors) * sectorSize, table);
  const labelEntry =
    label === undefined
      ? undefined
      : encodeEntry({
          alias: label.padEnd(11),
          attributes: attributes.volumeLabel,
          cluster: 0,
          size: 0,
          seconds: options.sourceDateEpoch ?? 0,
        });
  if (geometry.bits !== 32)
    target.write((geometry.dataSector - geometry.rootSectors) * sectorSize, encodeRoot(root, labelEntry));
  const position = (cluster: number): number =>
    (geometry.dataSector + (cluster - rootCluster) * geometry.sectorsPerCluster) * sectorSize;
  const parents = new Map<PlannedEntry, PlannedEntry>();
  for (const [index, entry] of chains.entries()) {
    if (index % 256 === 0) {
      throwIfAborted(options.signal);
      await setImmediate();
    }
    // The root counts as cluster 0 in "..", even where it has one.
    if (entry !== root) for (const child of entry.entries ?? []) parents.set(child, entry);
    if (entry === root) target.write(position(entry.cluster), encodeRoot(root, labelEntry));
    else if (entry.entries === undefined) copy(entry, position(entry.cluster), target);
    else target.write(position(entry.cluster), encodeDirectory(entry, parents.get(entry)));
  }
}

function encodeRoot(root: PlannedEntry, labelEntry: Uint8Array | undefined): Uint8Array {
  return Buffer.concat([...(labelEntry === undefined ? [] : [labelEntry]), ...encodeChildren(root)]);
}

function encodeDirectory(entry: PlannedEntry, parent: PlannedEntry | undefined): Uint8Array {
  const dot = (alias: string, cluster: number): Uint8Array =>
    encodeEntry({
      alias: alias.padEnd(11),
      attributes: attributes.directory,
      cluster,
      size: 0,
      seconds: entry.node.seconds,
    });
  return Buffer.concat([
    dot(".", entry.cluster),
    dot("..", parent === undefined ? 0 : parent.cluster),
    ...encodeChildren(entry),
  ]);
}

function* encodeChildren({ entries = [] }: PlannedEntry): Generator<Uint8Array> {
  for (const { name, node, cluster } of entries) {
    yield encodeLongName(name);
    const directory = node.kind === "directory";
    yield encodeEntry({
      alias: name.alias,
      attributes: directory ? attributes.directory : attributes.archive,
      cluster,
      size: node.size,
      seconds: node.seconds,
    });
  }
}

function copy({ node, size }: PlannedEntry, position: number, target: BlockWriter): void {
  const path = node.source;
  if (path === undefined) return;
  const file = openContent(path);
  try {
    readRun(file, path, { offset: 0, length: size }, (at, wanted) => target.room(position + at, wanted));
  } finally {
    closeSync(file);
  }
}

/** As systemd-repart changes a label for FAT: upper case ASCII, "_" for what else there is. */
function volumeLabel(label: string): string | undefined {
  const mangled = label
    .replaceAll(/[^ -~]|[*?.,;:/\\|+=<>[\]"]/gu, "_")
    .toUpperCase()
    .slice(0, 11)
    .trimEnd();
  return mangled === "" ? undefined : mangled;
}

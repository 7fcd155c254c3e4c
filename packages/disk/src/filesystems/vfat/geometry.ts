/**
 * How a FAT volume is divided: width of the table's entries, size of clusters and tables, as
 * mkfs.fat(8) of dosfstools 4.2 chooses them. The width follows from the number of clusters alone
 * (Microsoft's FAT specification, "FAT Type Determination"); near the limits mkfs.fat keeps a distance,
 * for drivers that count wrong.
 *
 * Two differences: sizes of clusters are in bytes here, so that sectors of 4096 bytes do not make
 * clusters of 32 KiB and too few of them for FAT32; and a volume is not cut to whole tracks.
 * @module
 */

export type FatBits = 12 | 16 | 32;

export interface FatGeometry {
  readonly bits: FatBits;
  readonly sectorSize: number;
  readonly totalSectors: number;
  readonly sectorsPerCluster: number;
  readonly reservedSectors: number;
  /** Of each of the two tables. */
  readonly fatSectors: number;
  /** Of the root directory outside of the clusters; 0 in FAT32. */
  readonly rootEntries: number;
  readonly rootSectors: number;
  /** First sector of cluster 2. */
  readonly dataSector: number;
  readonly clusters: number;
}

export interface FatRequest {
  /** Bytes. */
  readonly size: number;
  readonly sectorSize: number;
  /** FAT32 wherever there are clusters enough for it; else only from 512 MiB on. */
  readonly fat32: boolean;
  /** Entries of 32 bytes that the root directory needs. */
  readonly rootSlots: number;
}

export const tables = 2;
export const slotSize = 32;
const mebibyte: number = 1024 ** 2;
const mostClusters: Readonly<Record<FatBits, number>> = { 12: 4084, 16: 65_524, 32: 0xffffff6 };
const leastClusters: Readonly<Record<FatBits, number>> = { 12: 1, 16: 4087, 32: 65_529 };
const defaultRootEntries = 512;
/** Sectors from one cluster on, in bytes: the largest that every driver reads. */
const largestCluster = 32_768;

/** A cluster of FAT32, in bytes, for a volume of so many. */
function fat32Cluster(size: number): number {
  const mebibytes = Math.floor(size / mebibyte);
  if (mebibytes > 32_768) return 32_768;
  if (mebibytes > 16_384) return 16_384;
  if (mebibytes > 8192) return 8192;
  return mebibytes > 260 ? 4096 : 512;
}

function alignUp(value: number, grain: number): number {
  return Math.ceil(value / grain) * grain;
}

function divide(request: FatRequest, bits: FatBits, clusterSize: number): FatGeometry | undefined {
  const { sectorSize } = request;
  const totalSectors = Math.floor(request.size / sectorSize);
  const sectorsPerCluster = clusterSize / sectorSize;
  // Everything before the data is a multiple of a cluster, so that clusters are aligned on the disk.
  const reservedSectors = alignUp(bits === 32 ? 32 : 1, sectorsPerCluster);
  const slotsPerSector = sectorSize / slotSize;
  const rootEntries = bits === 32 ? 0 : alignUp(Math.max(defaultRootEntries, request.rootSlots), slotsPerSector);
  const rootSectors = alignUp(rootEntries / slotsPerSector, sectorsPerCluster);
  const left = totalSectors - reservedSectors - rootSectors;
  // Each cluster costs itself and an entry in both tables.
  const estimate = Math.floor((left * sectorSize) / (clusterSize + (tables * bits) / 8));
  const fatSectors = alignUp(Math.ceil(((estimate + 2) * bits) / 8 / sectorSize), sectorsPerCluster);
  const clusters = Math.floor((left - tables * fatSectors) / sectorsPerCluster);
  if (clusters < leastClusters[bits] || clusters > mostClusters[bits]) return undefined;
  const dataSector = reservedSectors + tables * fatSectors + rootSectors;
  return {
    bits,
    sectorSize,
    totalSectors,
    sectorsPerCluster,
    reservedSectors,
    fatSectors,
    rootEntries,
    rootSectors,
    dataSector,
    clusters,
  };
}

/** The division of a volume, or undefined where it is too small (or, past 8 TiB, too large) for any. */
export function makeFatGeometry(request: FatRequest): FatGeometry | undefined {
  const { size, sectorSize } = request;
  if (request.fat32 || size >= 512 * mebibyte) {
    const wide = divide(request, 32, Math.max(sectorSize, fat32Cluster(size)));
    if (wide !== undefined) return wide;
  }
  for (let cluster = Math.max(sectorSize, 2048); cluster <= largestCluster; cluster *= 2) {
    const geometry = divide(request, 16, cluster) ?? divide(request, 12, cluster);
    if (geometry !== undefined) return geometry;
  }
  return undefined;
}

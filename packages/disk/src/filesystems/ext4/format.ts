/**
 * Constants of ext4's disk format (kernel: Documentation/filesystems/ext4/), for the one shape written
 * here: 4096-byte blocks, 256-byte inodes, 64-byte group descriptors, extents, flex_bg, metadata_csum.
 * @module
 */
export const blockSize = 4096;
export const inodeSize = 256;
export const descriptorSize = 64;
export const blocksPerGroup = 32_768;
export const inodesPerTableBlock = 16;
/** Bytes of an inode beyond the first 128 that have fixed fields. */
export const extraInodeSize = 32;

export const rootInode = 2;
export const journalInode = 8;
/** lost+found is the first inode that is not reserved, as mke2fs has it and e2fsck expects. */
export const lostAndFoundInode = 11;
export const firstFreeInode = 12;

export const compatible = { hasJournal: 0x4, extendedAttributes: 0x8, directoryIndex: 0x20 } as const;
export const incompatible = { fileType: 0x2, extents: 0x40, bits64: 0x80, flexibleGroups: 0x200 } as const;
export const readOnlyCompatible = {
  sparseSuperblock: 0x1,
  largeFile: 0x2,
  hugeFile: 0x8,
  directoryLinks: 0x20,
  extraInodeSize: 0x40,
  metadataChecksum: 0x400,
} as const;

export const inodeFlags = { index: 0x1000, extents: 0x80000 } as const;

/** A run of blocks of the disk, and the block of the file it begins at. */
export interface Extent {
  readonly logical: number;
  readonly start: number;
  readonly count: number;
}

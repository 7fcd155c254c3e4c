/**
 * Installs GRUB for a PC's BIOS into a disk image: the boot sector, and behind a BIOS boot partition's
 * start the core image that it loads. The bytes are those of `grub-bios-setup --no-rs-codes`, which needs
 * root and a device. (Its redundant codes repair what other programs overwrite in the gap behind the
 * partition table; a partition has its own.) Offsets are those of GRUB's
 * include/grub/i386/pc/boot.h and offsets.h. Pure.
 * @module
 */
import { ConfigError, FormatError } from "@imgtool/core";

const sectorSize = 512;

/** In the boot sector. */
const boot = {
  /** The parameters of a FAT that begins here: none does on a disk with partitions. */
  parametersStart: 0x03,
  parametersEnd: 0x5a,
  kernelSector: 0x5c,
  drive: 0x64,
  driveCheck: 0x66,
  /** Windows' signature of the disk, then the partition table. */
  tableStart: 0x1b8,
  tableEnd: 0x1fe,
  signature: 0x1fe,
} as const;

/** Of the core image's first sector, which loads the others: its last entry, growing towards the start. */
const blockList = { offset: 500, entrySize: 12, segment: 0x820 } as const;

/** Sectors between 0x8000, where the core image is loaded, and 0x78000, where BIOS data may begin. */
const mostSectors = (0x78000 - 0x8000) / sectorSize;

export interface GrubBiosOptions {
  /** The first 512 bytes of the disk: the protective MBR. */
  readonly mbr: Uint8Array;
  /** GRUB's boot.img. */
  readonly bootImage: Uint8Array;
  /** What grub-mkimage made for i386-pc. */
  readonly coreImage: Uint8Array;
  /** Bytes from the start of the disk, and bytes, of the BIOS boot partition. */
  readonly partition: { readonly offset: number; readonly size: number };
}

/** Bytes and where on the disk they belong. */
export interface DiskRegion {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * What is written where: the boot sector last, so that it never points to what is not there.
 * @throws FormatError `grub-image-invalid`, ConfigError `bios-boot-full`
 */
export function embedGrub({ mbr, bootImage, coreImage, partition }: GrubBiosOptions): DiskRegion[] {
  if (mbr.length !== sectorSize) throw new RangeError(`expected a sector of ${sectorSize} bytes, found ${mbr.length}`);
  const first = partition.offset / sectorSize;
  if (!Number.isSafeInteger(first) || first === 0)
    throw new RangeError(`a partition at byte ${partition.offset} begins on no sector`);
  if (bootImage.length !== sectorSize || bootImage[boot.signature] !== 0x55 || bootImage[boot.signature + 1] !== 0xaa)
    refuse("boot.img", `expected ${sectorSize} bytes that end in 55 aa, found ${bootImage.length} bytes`);
  const sectors = Math.ceil(coreImage.length / sectorSize);
  const room = Math.min(Math.floor(partition.size / sectorSize), mostSectors);
  if (sectors > room)
    throw new ConfigError(
      `GRUB's core image has ${coreImage.length} bytes, ${coreImage.length - room * sectorSize} more than fit the BIOS boot partition`,
      {
        code: "bios-boot-full",
        hint: "give the partition 1M: SizeMinBytes=1M",
        data: { size: coreImage.length, available: room * sectorSize },
      },
    );

  const core = new Uint8Array(sectors * sectorSize);
  core.set(coreImage);
  const list = new DataView(core.buffer);
  const segment = sectors < 2 ? undefined : list.getUint16(blockList.offset + 10, true);
  const before = core.subarray(blockList.offset - blockList.entrySize, blockList.offset);
  if (segment !== blockList.segment || before.some((byte) => byte !== 0))
    refuse("the core image", "its first sector is not GRUB's for i386-pc");
  list.setBigUint64(blockList.offset, BigInt(first + 1), true);
  list.setUint16(blockList.offset + 8, sectors - 1, true);

  const sector = Uint8Array.from(bootImage);
  const view = new DataView(sector.buffer);
  for (const [from, to] of [
    [boot.parametersStart, boot.parametersEnd],
    [boot.tableStart, boot.tableEnd],
  ] as const)
    sector.set(mbr.subarray(from, to), from);
  view.setBigUint64(boot.kernelSector, BigInt(first), true);
  // The drive that the BIOS says it boots from; some say a floppy's number of a hard disk, which the code
  // here sets right once these two bytes (a jump over it) do nothing.
  view.setUint8(boot.drive, 0xff);
  view.setUint16(boot.driveCheck, 0x9090, true);
  return [
    { offset: partition.offset, bytes: core },
    { offset: 0, bytes: sector },
  ];
}

function refuse(name: string, message: string): never {
  throw new FormatError(`${name} is not GRUB's: ${message}`, {
    code: "grub-image-invalid",
    hint: "take boot.img and the modules of one version of GRUB, for i386-pc",
    data: { name },
  });
}

/**
 * What is known of an image that shall run: a finished output, as its build record describes it.
 * @module
 */
export interface RunnableImage {
  /** Name of the machine where the project gives none. */
  readonly name: string;
  /** systemd's name. */
  readonly architecture: string;
  /** "uki": a whole system in one unified kernel image, which needs no disk. */
  readonly kind: "disk" | "directory" | "uki";
  readonly path: string;
  /** Format of a disk's file. */
  readonly diskFormat: "raw" | "qcow2" | "vmdk" | "vhdx";
  /** Bytes; of a disk. */
  readonly sectorSize: number;
  readonly partitions: readonly ImagePartition[];
  /** Hexadecimal; of the partition that dm-verity protects. */
  readonly rootHash: string | undefined;
  /** Kernel and initrds that were split off the image. */
  readonly kernel: string | undefined;
  readonly initrds: readonly string[];
}

export interface ImagePartition {
  /** By the name of systemd-repart: "root-x86-64", "esp". */
  readonly type: string;
  readonly uuid: string;
}

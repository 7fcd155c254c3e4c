/**
 * The packages of the initrd that is built.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";

/** What every initrd is made of, on Debian and Ubuntu. */
const packages: readonly string[] = [
  ..."systemd udev kmod bash less util-linux".split(" "),
  // what is between a disk and a file system
  ..."dmsetup lvm2 libcryptsetup12 p11-kit libfido2-1 libtss2-rc0 libtss2-tcti-device0".split(" "),
  // by patterns of apt: the names hold versions, and those of earlier releases are still mentioned (~v)
  ..."~n^libtss2-esys-[0-9.]+-0!~v ~n^libtss2-mu!~v".split(" "),
  // checking file systems
  ..."btrfs-progs e2fsprogs erofs-utils dosfstools".split(" "),
];

/** Releases whose systemd package still holds what later ones have in packages of their own. */
const wholeSystemd = new Set(["bullseye", "bookworm", "jammy", "noble"]);

/** Whether there is a default initrd of the image's distribution. */
export function hasInitrdPackages({ distribution }: ImageConfig): boolean {
  return distribution === "debian" || distribution === "ubuntu";
}

/** The distribution's names of them, with those that the project adds. */
export function initrdPackages(config: ImageConfig): string[] {
  const whole = wholeSystemd.has(config.release);
  return [
    ...packages,
    ...(whole ? [] : ["systemd-cryptsetup"]),
    ...(whole && config.release !== "noble" ? [] : ["systemd-repart"]),
    ...config.initrdPackages,
    // No initrd is kept that newer packages would change: these need no treatment of their own.
    ...config.initrdVolatilePackages,
  ];
}

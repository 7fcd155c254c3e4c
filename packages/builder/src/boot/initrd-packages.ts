/**
 * The packages of the initrd that is built: mkosi-initrd's of the image's distribution, and the project's own.
 * @module
 */
import { defaultInitrd, type ImageConfig } from "@imgtool/config";
import { isWithinKernel } from "../formats.ts";

/** Whether there is a default initrd for the image's distribution. */
export function hasDefaultInitrd({ distribution }: ImageConfig): boolean {
  return distribution !== "custom";
}

/** Whether the image may start, and with the default initrd: as far as that is known before it has its packages. */
export function mayBuildInitrd(config: ImageConfig): boolean {
  const { bootable, format, initrds } = config;
  if (!hasDefaultInitrd(config) || initrds.length > 0 || isWithinKernel(format) || format === "addon") return false;
  return bootable === "enabled" || (bootable === "auto" && format === "disk");
}

/** The distribution's names of them, with those that the project adds. */
export function initrdPackages(config: ImageConfig): string[] {
  return [
    ...defaultInitrd(config).packages,
    ...config.initrdPackages,
    // No initrd is kept that newer packages would change: these need no treatment of their own.
    ...config.initrdVolatilePackages,
  ];
}

/** Those that only others' scripts needed. */
export function initrdRemovedPackages(config: ImageConfig): string[] {
  // dpkg has always stayed: its removal asks for newer scripts of other packages, and its database goes anyway.
  return defaultInitrd(config).removePackages.filter((name) => name !== "dpkg");
}

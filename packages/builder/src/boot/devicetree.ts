/**
 * Finds the device tree that Devicetree= names, where packages of kernels have theirs.
 * @module
 */
import { NotFoundError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";

/**
 * Its path on this machine.
 * @param name as `broadcom/bcm2711-rpi-4-b.dtb`
 * @throws NotFoundError `devicetree-missing`
 */
export async function findDevicetree(tree: string, version: string, name: string): Promise<string> {
  const folders = [
    `usr/lib/firmware/${version}/device-tree`,
    `usr/lib/linux-image-${version}`,
    `usr/lib/modules/${version}/dtb`,
  ];
  for (const folder of folders) {
    const place = await resolveInTree(tree, `${folder}/${name}`, { followLast: true });
    if (await pathExists(place)) return place;
  }
  throw new NotFoundError(`Devicetree=: the image has no ${name} for the kernel ${version}`, {
    code: "devicetree-missing",
    hint: `it is looked for in ${folders.map((folder) => `/${folder}`).join(", ")}`,
    data: { name, version },
  });
}

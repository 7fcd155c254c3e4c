/**
 * What does not belong on a root file system though the tree has it: the content of the kernel's mount
 * points, and of the directories that other partitions of the disk are mounted on. The directories
 * themselves stay.
 * @module
 */
import type { PartitionType } from "../partition-types.ts";
import type { CopyRule } from "./scan.ts";

const kernelMounts = ["/proc/", "/sys/", "/dev/", "/tmp/", "/run/", "/var/tmp/"];

const mountPoints: Readonly<Record<string, readonly string[]>> = {
  usr: ["/usr/"],
  esp: ["/efi/", "/boot/"],
  xbootldr: ["/boot/"],
  home: ["/home/"],
  srv: ["/srv/"],
  var: ["/var/"],
  tmp: ["/var/tmp/"],
};

/** Paths within the tree to leave out when `rule` fills the root of a partition of that type. */
export function excludedFromRoot(
  type: PartitionType,
  rule: CopyRule,
  all: readonly PartitionType[],
): readonly string[] {
  if (type.designator !== "root" || !/^\/*$/.test(rule.target)) return [];
  const others = all.flatMap(({ designator }) =>
    designator === undefined || designator === "root" ? [] : (mountPoints[designator] ?? []),
  );
  const source = rule.source.replace(/\/+$/, "");
  return [...new Set([...kernelMounts, ...others])].map((path) => `${source}${path}`);
}

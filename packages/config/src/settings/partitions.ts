/**
 * [Partitions]: the first mkosi's shorthand for partition definitions. A project with definitions of its
 * own says all of this there.
 * @module
 */
import { boolean, bytes } from "../kinds.ts";
import { rowsOf } from "../setting.ts";
import type { SettingDefinition } from "../setting.ts";

const row = rowsOf("Partitions");
const size = (name: string, long: string, help: string): SettingDefinition =>
  row(name, bytes, help, { supported: true, option: { long, argument: "SIZE" } });

export const partitionSettings: readonly SettingDefinition[] = [
  size("RootSize", "root-size", "Size of the root partition; default: that of its content and some room"),
  size("ESPSize", "esp-size", "Size of the EFI system partition of a bootable image; default 512M"),
  size("SwapSize", "swap-size", "Size of a swap partition; default: none"),
  size("HomeSize", "home-size", "Size of a partition for /home; default: none"),
  size("SrvSize", "srv-size", "Size of a partition for /srv; default: none"),
  row("ReadOnly", boolean, "Mark the root partition read-only", {
    supported: true,
    option: { argument: "BOOL", optional: true },
  }),
];

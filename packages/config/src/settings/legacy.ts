/**
 * Settings of the first mkosi (2017) that have no row of their own, and what they mean today. Its files
 * are mkosi.default and mkosi.default.d/; its lists also split at white space.
 * @module
 */
import { booleanOf } from "../kind.ts";

export interface LegacySetting {
  readonly name: string;
  /** The setting and value of today, or undefined where nothing needs to be done for this value. */
  readonly translate: (value: string) => readonly [setting: string, value: string] | undefined;
}

const unlessNo =
  (setting: string, meaning: string) =>
  (value: string): [string, string] | undefined =>
    booleanOf(value) === false ? undefined : [setting, meaning];

export const legacySettings: readonly LegacySetting[] = [
  { name: "Compress", translate: (value) => ["CompressOutput", value] },
  { name: "XZ", translate: unlessNo("CompressOutput", "xz") },
  { name: "Password", translate: (value) => ["RootPassword", value] },
  { name: "Cache", translate: (value) => ["PackageCacheDirectory", value] },
  // Asked of each run on the command line today.
  { name: "Force", translate: () => undefined },
];

/** Options of the first mkosi that no setting has today: what they assign, with a value or with their argument. */
export const legacyOptions: readonly { readonly long: string; readonly setting: string; readonly value?: string }[] = [
  { long: "xz", setting: "CompressOutput", value: "xz" },
  { long: "password", setting: "RootPassword" },
];

/** Sections of the first mkosi. Their settings are found by name, whatever section they are in. */
export const legacySections: readonly string[] = ["Packages", "Partitions"];

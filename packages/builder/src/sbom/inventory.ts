/**
 * What both forms of a bill of materials tell: the image, and its packages with all that is known of them.
 * @module
 */
import { createHmac } from "node:crypto";
import type { ImageConfig } from "@imgtool/config";
import type { InstalledPackage } from "@imgtool/distro";
import type { BuildContext } from "../context.ts";
import { LicenseReferences, licenseOf } from "./licenses.ts";
import { packageUrl } from "./package-url.ts";

export interface InventoryPackage extends InstalledPackage {
  readonly url: string;
  /** An SPDX expression; undefined where unknown. */
  readonly licenses: string | undefined;
}

export interface Inventory {
  readonly name: string;
  readonly version: string | undefined;
  readonly distribution: string;
  readonly release: string;
  /** ISO 8601, whole seconds. */
  readonly created: string;
  readonly packages: readonly InventoryPackage[];
  /** The licences among them that SPDX has no name for. */
  readonly references: LicenseReferences;
  /** A UUID that is the image's and this purpose's, derived from its seed. */
  uuid(purpose: string): string;
}

/** Reads licences from the tree, which still has them. */
export async function takeInventory(context: BuildContext): Promise<Inventory> {
  const { config, distribution, tree } = context;
  const packages: InventoryPackage[] = [];
  const references = new LicenseReferences();
  for (const entry of context.packages) {
    const url = packageUrl(config, distribution.packageType, entry);
    packages.push({ ...entry, url, licenses: await licenseOf(tree, entry, references) });
  }
  return {
    name: config.imageId ?? config.output,
    version: config.imageVersion,
    distribution: config.distribution,
    release: config.release,
    created: new Date(config.sourceDateEpoch * 1000).toISOString().replace(/\.\d+Z$/, "Z"),
    packages,
    references,
    uuid: (purpose) => derivedUuid(config, purpose, packages),
  };
}

/** Another content is another document. */
function derivedUuid({ seed }: ImageConfig, purpose: string, packages: readonly InventoryPackage[]): string {
  const mac = createHmac("sha256", seed).update(purpose);
  for (const { url, sha256, headerSha256 } of packages) mac.update(`\n${url} ${sha256 ?? headerSha256 ?? ""}`);
  const bytes = mac.digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

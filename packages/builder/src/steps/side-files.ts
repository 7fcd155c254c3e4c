/**
 * The files beside an image that say what is in it.
 * @module
 */
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeFile, formatChecksums } from "../artifacts.ts";
import type { BuildContext } from "../context.ts";
import { formatManifest } from "../manifest.ts";
import { outputNames } from "../outputs.ts";
import { formatCycloneDx } from "../sbom/cyclonedx.ts";
import { takeInventory } from "../sbom/inventory.ts";
import { formatSpdx } from "../sbom/spdx.ts";
import { signChecksums } from "../sign-checksums.ts";

/** Makes the bills of materials that ManifestFormat= asks for; they are written with the manifest. */
export async function takeBills(context: BuildContext): Promise<void> {
  const { config } = context;
  const forms = { spdx: formatSpdx, cyclonedx: formatCycloneDx } as const;
  const wanted = (["spdx", "cyclonedx"] as const).filter((form) => config.manifestFormat.includes(form));
  if (wanted.length === 0) return;
  const inventory = await takeInventory(context);
  for (const form of wanted) context.bills.push({ form, text: forms[form](inventory) });
}

/** NSpawnSettings= */
export async function copyNspawnSettings(context: BuildContext): Promise<void> {
  const { config, staging, artifacts } = context;
  if (config.nspawnSettings === undefined) return;
  const { nspawnSettings: name } = outputNames(config);
  await copyFile(config.nspawnSettings, join(staging, name));
  artifacts.push(await describeFile("nspawn-settings", name, { ...context, folder: staging }));
}

/** The manifest and the bills of materials. */
export async function writeManifest(context: BuildContext): Promise<void> {
  const { config, staging, bills } = context;
  const names = outputNames(config);
  const files = bills.map(({ form, text }) => ({ kind: "sbom" as const, name: names[form], text }));
  const manifest = config.manifestFormat.includes("json")
    ? [
        {
          kind: "manifest" as const,
          name: names.manifest,
          text: formatManifest(config, context.distribution.packageType, context.packages),
        },
      ]
    : [];
  for (const { kind, name, text } of [...manifest, ...files]) {
    await writeFile(join(staging, name), text);
    context.artifacts.push(await describeFile(kind, name, { ...context, folder: staging }));
  }
}

/** SHA256SUMS of the image, and its signature. */
export async function writeChecksums(context: BuildContext): Promise<void> {
  const { config, staging, artifacts } = context;
  if (!config.checksum) return;
  const { checksums: name, signature } = outputNames(config);
  await writeFile(join(staging, name), formatChecksums(artifacts));
  artifacts.push(await describeFile("checksums", name, { ...context, folder: staging }));
  if (!config.sign) return;
  await signChecksums(config, join(staging, name), join(staging, signature), context.signal);
  artifacts.push(await describeFile("checksums-signature", signature, { ...context, folder: staging }));
}

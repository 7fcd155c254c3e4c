/**
 * A bill of materials in the form of CycloneDX 1.6 (cyclonedx.org/docs/1.6/json), JSON.
 * @module
 */
import type { Inventory, InventoryPackage } from "./inventory.ts";

/** The document's text. */
export function formatCycloneDx(inventory: Inventory): string {
  const { name, version, distribution, release, packages } = inventory;
  const reference = `image:${name}`;
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${inventory.uuid("cyclonedx")}`,
    version: 1,
    metadata: {
      timestamp: inventory.created,
      tools: { components: [{ type: "application", name: "imgtool" }] },
      component: {
        type: "operating-system",
        "bom-ref": reference,
        name,
        ...(version === undefined ? {} : { version }),
        properties: [
          { name: "imgtool:distribution", value: distribution },
          { name: "imgtool:release", value: release },
        ],
      },
    },
    components: packages.map(({ name, version, url, licenses, sha256, headerSha256, source }) => ({
      type: "library",
      "bom-ref": url,
      name,
      version,
      purl: url,
      ...(sha256 === undefined ? {} : { hashes: [{ alg: "SHA-256", content: sha256 }] }),
      ...describeLicenses(licenses, inventory),
      ...describeProperties({ "imgtool:source-package": source, "imgtool:rpm-header-sha256": headerSha256 }),
    })),
    dependencies: [{ ref: reference, dependsOn: [...new Set(packages.map(({ url }) => url))] }],
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** A licence without SPDX's name can bring its text along where it is the only one; expressions have no place for it. */
function describeLicenses(licenses: InventoryPackage["licenses"], { references }: Inventory): Record<string, unknown> {
  if (licenses === undefined) return {};
  const text = references.text(licenses);
  if (text === "") return { licenses: [{ expression: licenses }] };
  return { licenses: [{ license: { name: licenses, text: { contentType: "text/plain", content: text } } }] };
}

function describeProperties(values: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  const properties = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]));
  return properties.length === 0 ? {} : { properties };
}

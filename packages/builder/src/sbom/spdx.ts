/**
 * A bill of materials in the form of SPDX 2.3 (spdx.github.io/spdx-spec/v2.3), JSON.
 * @module
 */
import type { Inventory, InventoryPackage } from "./inventory.ts";

/** The document's text. */
export function formatSpdx(inventory: Inventory): string {
  const { name, version, packages } = inventory;
  const image = "SPDXRef-Image";
  const identifiers = packages.map((_, index) => `SPDXRef-Package-${index + 1}`);
  const references = inventory.references.all;
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: version === undefined ? name : `${name}-${version}`,
    documentNamespace: `urn:uuid:${inventory.uuid("spdx")}`,
    creationInfo: { created: inventory.created, creators: ["Tool: imgtool"] },
    packages: [
      {
        SPDXID: image,
        name,
        ...(version === undefined ? {} : { versionInfo: version }),
        downloadLocation: "NOASSERTION",
        filesAnalyzed: false,
        primaryPackagePurpose: "OPERATING-SYSTEM",
        ...unknownCopyright,
        licenseDeclared: "NOASSERTION",
      },
      ...packages.map((entry, index) => ({ SPDXID: identifiers[index], ...describe(entry) })),
    ],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: image },
      ...identifiers.map((identifier) => ({
        spdxElementId: image,
        relationshipType: "CONTAINS",
        relatedSpdxElement: identifier,
      })),
    ],
    ...(references.length === 0
      ? {}
      : {
          hasExtractedLicensingInfos: references.map(([licenseId, text]) => ({
            licenseId,
            name: licenseId.slice("LicenseRef-".length),
            extractedText: text === "" ? elsewhere : text,
          })),
        }),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

const elsewhere = "The text is in the package, at /usr/share/doc or /usr/share/licenses.";

const unknownCopyright = { licenseConcluded: "NOASSERTION", copyrightText: "NOASSERTION" };

function describe({
  name,
  version,
  source,
  url,
  licenses,
  sha256,
  headerSha256,
}: InventoryPackage): Record<string, unknown> {
  return {
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    ...(source === undefined ? {} : { sourceInfo: `built from the source package ${source}` }),
    ...(sha256 === undefined ? {} : { checksums: [{ algorithm: "SHA256", checksumValue: sha256 }] }),
    // Checksums are those of a package's file, which rpm's database does not have.
    ...(headerSha256 === undefined ? {} : { comment: `SHA-256 of the RPM header: ${headerSha256}` }),
    ...unknownCopyright,
    licenseDeclared: licenses ?? "NOASSERTION",
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: url }],
  };
}

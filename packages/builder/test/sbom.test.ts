/** Bills of materials, judged by CycloneDX's own schema and by what the SPDX specification asks for. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { needPrograms, needRoot, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { build } from "../src/index.ts";
import { formatCycloneDx } from "../src/sbom/cyclonedx.ts";
import type { Inventory } from "../src/sbom/inventory.ts";
import { LicenseReferences } from "../src/sbom/licenses.ts";
import { formatSpdx } from "../src/sbom/spdx.ts";
import { packageUrl } from "../src/sbom/package-url.ts";
import { testConfig } from "./config.ts";

const digest = "ab".repeat(32);

const status = `Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b8
Source: bash (5.2.15-2)

Package: apt
Status: install ok installed
Architecture: amd64
Version: 1:2.6.1
`;

const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-3+

Files: x
License: Expat or Weird-License 2

License: GPL-3+
 Text.

License: Weird-License 2
 Do as you like.
 .
 But do.
`;

interface SpdxDocument {
  readonly packages: readonly {
    readonly SPDXID: string;
    readonly name: string;
    readonly licenseDeclared: string;
    readonly externalRefs?: readonly { readonly referenceLocator: string }[];
  }[];
  readonly relationships: readonly { readonly spdxElementId: string; readonly relatedSpdxElement: string }[];
}

test("every package is in both forms, with what is known of it, and the same each time", async (context) => {
  needRoot(context);
  needPrograms(context, "bwrap");
  const texts: string[] = [];
  for (let round = 0; round < 2; round++) {
    using folder = temporaryFolder();
    const tree = folder.join("tree");
    for (const path of ["var/lib/dpkg", "usr/share/doc/bash"]) mkdirSync(`${tree}/${path}`, { recursive: true });
    writeFileSync(`${tree}/var/lib/dpkg/status`, status);
    writeFileSync(`${tree}/usr/share/doc/bash/copyright`, copyright);
    const record = await build(
      testConfig(folder.path, {
        skeletonTrees: [{ source: tree, target: "/" }],
        manifestFormat: ["json", "spdx", "cyclonedx"],
        // The tree has lost both when the image is packed.
        removeFiles: ["/usr/share/doc"],
        cleanPackageMetadata: true,
      }),
    );
    expect(record.artifacts.map(({ path }) => path)).toEqual([
      "thing",
      "thing.manifest",
      "thing.spdx.json",
      "thing.cdx.json",
      "thing.SHA256SUMS",
    ]);
    const read = (name: string): string => readFileSync(folder.join("out", name), "utf8");
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(read("thing.cdx.json"))).toBeNull();
    texts.push(read("thing.cdx.json"), read("thing.spdx.json"));

    const spdx = JSON.parse(read("thing.spdx.json")) as SpdxDocument;
    const identifiers = spdx.packages.map(({ SPDXID }) => SPDXID);
    expect(new Set(identifiers).size).toBe(3);
    for (const identifier of identifiers) expect(identifier).toMatch(/^SPDXRef-[A-Za-z0-9.-]+$/);
    for (const { spdxElementId, relatedSpdxElement } of spdx.relationships)
      for (const end of [spdxElementId, relatedSpdxElement])
        expect([...identifiers, "SPDXRef-DOCUMENT"]).toContain(end);
    expect(spdx.packages.find(({ name }) => name === "bash")).toMatchObject({
      versionInfo: "5.2.15-2+b8",
      licenseDeclared: "(LicenseRef-Weird-License-2 OR MIT) AND GPL-3.0-or-later",
      sourceInfo: "built from the source package bash",
    });
    expect(spdx.packages.find(({ name }) => name === "apt")).toMatchObject({ licenseDeclared: "NOASSERTION" });
    expect(spdx).toMatchObject({
      spdxVersion: "SPDX-2.3",
      SPDXID: "SPDXRef-DOCUMENT",
      hasExtractedLicensingInfos: [
        { licenseId: "LicenseRef-Weird-License-2", extractedText: "Do as you like.\n\nBut do." },
      ],
    });
  }
  expect(texts.slice(2)).toEqual(texts.slice(0, 2));
});

test("what an RPM's database has is told as the header's, not as a checksum of the file", async () => {
  const inventory: Inventory = {
    name: "x",
    version: undefined,
    distribution: "fedora",
    release: "41",
    created: "2024-01-01T00:00:00Z",
    packages: [
      { name: "a", version: "1-1", architecture: "noarch", url: "pkg:rpm/a", licenses: "MIT", headerSha256: digest },
      { name: "b", version: "1-1", architecture: "any", url: "pkg:alpm/b", licenses: undefined, sha256: digest },
    ],
    references: new LicenseReferences(),
    uuid: () => "d2b6e1f0-0000-4000-8000-000000000000",
  };
  const cyclonedx = formatCycloneDx(inventory);
  expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(cyclonedx)).toBeNull();
  expect(JSON.parse(cyclonedx)).toMatchObject({
    components: [
      { name: "a", properties: [{ name: "imgtool:rpm-header-sha256", value: digest }] },
      { name: "b", hashes: [{ alg: "SHA-256", content: digest }] },
    ],
  });
  expect(cyclonedx.match(/"hashes"/g)).toHaveLength(1);
  const spdx = formatSpdx(inventory);
  expect(JSON.parse(spdx)).toMatchObject({
    packages: [
      { name: "x" },
      { name: "a", comment: `SHA-256 of the RPM header: ${digest}` },
      { name: "b", checksums: [{ algorithm: "SHA256", checksumValue: digest }] },
    ],
  });
  expect(spdx.match(/"checksums"/g)).toHaveLength(1);
});

test("package URLs are written as their specification asks", () => {
  const place = { distribution: "debian", release: "bookworm" };
  expect(packageUrl(place, "deb", { name: "libstdc++6", version: "1:12.2.0-14", architecture: "amd64" })).toBe(
    "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14?arch=amd64&distro=debian-bookworm",
  );
  expect(
    packageUrl({ distribution: "fedora", release: "41" }, "rpm", {
      name: "bash",
      version: "1:5.2-1",
      architecture: "x86_64",
    }),
  ).toBe("pkg:rpm/fedora/bash@5.2-1?arch=x86_64&distro=fedora-41&epoch=1");
});
